/* values.h - the words that ENUM options may have.
 * Source  PgBouncer's config manual; libpq's sslmode table.
 * Shape   CONFIG_VALUES_x(V) lists V(ID, "word") and becomes enum config_x; the numbers are positions.
 * Owner   -
 * Thread  constant; any.
 * Errors  none. */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#define CONFIG_VALUES_auth_type(V)          \
	V(AUTH_TYPE_ANY, "any")             \
	V(AUTH_TYPE_TRUST, "trust")         \
	V(AUTH_TYPE_PLAIN, "plain")         \
	V(AUTH_TYPE_MD5, "md5")             \
	V(AUTH_TYPE_SCRAM, "scram-sha-256") \
	V(AUTH_TYPE_CERT, "cert")           \
	V(AUTH_TYPE_HBA, "hba")             \
	V(AUTH_TYPE_PEER, "peer")

#define CONFIG_VALUES_pool_mode(V)              \
	V(POOL_MODE_SESSION, "session")         \
	V(POOL_MODE_TRANSACTION, "transaction") \
	V(POOL_MODE_STATEMENT, "statement")

/* Same order as enum tls_mode. */
#define CONFIG_VALUES_sslmode(V)          \
	V(SSLMODE_DISABLE, "disable")     \
	V(SSLMODE_ALLOW, "allow")         \
	V(SSLMODE_PREFER, "prefer")       \
	V(SSLMODE_REQUIRE, "require")     \
	V(SSLMODE_VERIFY_CA, "verify-ca") \
	V(SSLMODE_VERIFY_FULL, "verify-full")

#define CONFIG_VALUES_host_order(V)      \
	V(HOST_ORDER_DISABLE, "disable") \
	V(HOST_ORDER_ROUND_ROBIN, "round-robin")

#define CONFIG_VALUES_server_role(V)            \
	V(SERVER_ROLE_ANY, "any")               \
	V(SERVER_ROLE_READ_WRITE, "read-write") \
	V(SERVER_ROLE_READ_ONLY, "read-only")   \
	V(SERVER_ROLE_PRIMARY, "primary")       \
	V(SERVER_ROLE_STANDBY, "standby")

#define CONFIG_VALUES_coherence(V)      \
	V(COHERENCE_OFF, "off")         \
	V(COHERENCE_BOUNDED, "bounded") \
	V(COHERENCE_STRICT, "strict")

#define CONFIG_VALUES_feed_plugin(V)                  \
	V(FEED_PLUGIN_TEST_DECODING, "test_decoding") \
	V(FEED_PLUGIN_PGOUTPUT, "pgoutput")

/* Same order as enum log_level. */
#define CONFIG_VALUES_log_level(V)   \
	V(CONFIG_LOG_ERROR, "error") \
	V(CONFIG_LOG_WARN, "warn")   \
	V(CONFIG_LOG_INFO, "info")   \
	V(CONFIG_LOG_DEBUG, "debug")

#define CONFIG_VALUES_log_format(V) \
	V(LOG_FORMAT_TEXT, "text")  \
	V(LOG_FORMAT_JSON, "json")

#define CONFIG_VALUE_ID(id, word) id,

enum config_auth_type { CONFIG_VALUES_auth_type(CONFIG_VALUE_ID) };
enum config_pool_mode { CONFIG_VALUES_pool_mode(CONFIG_VALUE_ID) };
enum config_sslmode { CONFIG_VALUES_sslmode(CONFIG_VALUE_ID) };
enum config_host_order { CONFIG_VALUES_host_order(CONFIG_VALUE_ID) };
enum config_server_role { CONFIG_VALUES_server_role(CONFIG_VALUE_ID) };
enum config_coherence { CONFIG_VALUES_coherence(CONFIG_VALUE_ID) };
enum config_feed_plugin { CONFIG_VALUES_feed_plugin(CONFIG_VALUE_ID) };
enum config_log_level { CONFIG_VALUES_log_level(CONFIG_VALUE_ID) };
enum config_log_format { CONFIG_VALUES_log_format(CONFIG_VALUE_ID) };

/* The C type of an option's field: CONFIG_C_##TYPE. */
#define CONFIG_C_STRING const char *
#define CONFIG_C_SECRET const char *
#define CONFIG_C_INT int
#define CONFIG_C_MODE int
#define CONFIG_C_SIZE uint64_t
#define CONFIG_C_DURATION uint64_t
#define CONFIG_C_BOOL bool
#define CONFIG_C_ENUM(x) enum config_##x

#endif
