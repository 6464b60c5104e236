#include "proxy/prepare.h"

_Static_assert((int)SSLMODE_VERIFY_FULL == (int)TLS_VERIFY_FULL, "sslmode and tls_mode have one order");
_Static_assert((int)CONFIG_LOG_DEBUG == (int)LOG_LEVEL_DEBUG, "log levels have one order");

/* The options of each part; OPTION_COUNT = it has none. */
static const enum config_option_id client_options[TLS_PARTS] = {
	OPTION_COUNT,
	OPTION_client_tls_ca_file,
	OPTION_client_tls_cert_file,
	OPTION_client_tls_key_file,
	OPTION_client_tls_protocols,
	OPTION_client_tls_ciphers,
	OPTION_client_tls13_ciphers,
};
static const enum config_option_id server_options[TLS_PARTS] = {
	OPTION_COUNT,
	OPTION_server_tls_ca_file,
	OPTION_server_tls_cert_file,
	OPTION_server_tls_key_file,
	OPTION_server_tls_protocols,
	OPTION_server_tls_ciphers,
	OPTION_server_tls13_ciphers,
};
static const enum config_option_id stats_options[TLS_PARTS] = {
	OPTION_COUNT, OPTION_COUNT, OPTION_stats_tls_cert_file, OPTION_stats_tls_key_file, OPTION_COUNT,
	OPTION_COUNT, OPTION_COUNT,
};

static int make_tls(const struct config *cfg, struct tls_settings set,
		    struct tls *(*make)(const struct tls_settings *set, struct err *err),
		    const enum config_option_id options[TLS_PARTS], struct tls **tls_r, struct err *err)
{
	enum tls_part bad = TLS_PART_NONE;
	struct tls *tls = NULL;
	struct err why;

	set.bad_r = &bad;
	if (set.mode != TLS_DISABLE)
		tls = make(&set, &why);
	if (set.mode == TLS_DISABLE ? tls_check_words(&set, &why) == 0 : tls != NULL) {
		*tls_r = tls;
		return 0;
	}
	return options[bad] == OPTION_COUNT ? err_set(err, "%s", why.text)
					    : config_blame(cfg, options[bad], &why, err);
}

int prepare_client_tls(const struct config *cfg, struct tls **tls_r, struct err *err)
{
	struct tls_settings set = {.mode = (enum tls_mode)cfg->client_tls_sslmode,
				   .ca_file = cfg->client_tls_ca_file,
				   .cert_file = cfg->client_tls_cert_file,
				   .key_file = cfg->client_tls_key_file,
				   .protocols = cfg->client_tls_protocols,
				   .ciphers = cfg->client_tls_ciphers,
				   .ciphers13 = cfg->client_tls13_ciphers};

	return make_tls(cfg, set, tls_server_new, client_options, tls_r, err);
}

int prepare_server_tls(const struct config *cfg, struct tls **tls_r, struct err *err)
{
	struct tls_settings set = {.mode = (enum tls_mode)cfg->server_tls_sslmode,
				   .ca_file = cfg->server_tls_ca_file,
				   .cert_file = cfg->server_tls_cert_file,
				   .key_file = cfg->server_tls_key_file,
				   .protocols = cfg->server_tls_protocols,
				   .ciphers = cfg->server_tls_ciphers,
				   .ciphers13 = cfg->server_tls13_ciphers};

	return make_tls(cfg, set, tls_client_new, server_options, tls_r, err);
}

int prepare_stats_tls(const struct config *cfg, struct tls **tls_r, struct err *err)
{
	struct tls_settings set = {.mode = cfg->stats_tls_cert_file[0] != '\0' ? TLS_REQUIRE : TLS_DISABLE,
				   .cert_file = cfg->stats_tls_cert_file,
				   .key_file = cfg->stats_tls_key_file,
				   .protocols = "secure",
				   .ciphers = "default",
				   .http = true};

	return make_tls(cfg, set, tls_server_new, stats_options, tls_r, err);
}

int prepare_log(const struct config *cfg, int *fd_r, struct err *err)
{
	struct err why;

	return log_prepare(cfg->logfile, fd_r, &why) == 0 ? 0 : config_blame(cfg, OPTION_logfile, &why, err);
}

enum log_level prepare_log_level(const struct config *cfg, bool verbose)
{
	return verbose || cfg->verbose > 0 ? LOG_LEVEL_DEBUG : (enum log_level)cfg->log_level;
}
