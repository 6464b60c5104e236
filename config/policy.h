/* policy.h - what holds for one (database, user): [pgweir], overridden by [databases], overridden by [users].
 * Source  options.def: every row whose scope has G together with D or U.
 * Shape   plain values, durations in microseconds. default_pool_size is what [databases] and [users] call
 *         pool_size.
 * Owner   the caller's struct; its strings are borrowed from the config, hold a reference as long.
 * Thread  pure; any.
 * Errors  none. */
#ifndef CONFIG_POLICY_H
#define CONFIG_POLICY_H

#include "config/values.h"

#include <stdbool.h>
#include <stdint.h>

struct config;

#define POLICY_IN_G(...)
#define POLICY_IN_D(...)
#define POLICY_IN_GD(...) __VA_ARGS__
#define POLICY_IN_GU(...) __VA_ARGS__
#define POLICY_IN_GDU(...) __VA_ARGS__

struct policy {
#define OPT(type, name, def, min, max, scope, life, help) POLICY_IN_##scope(CONFIG_C_##type name;)
#include "config/options.def"
};

/* A database or user without an entry leaves what is above it; either may be NULL. A database that only the *
 * entry matches gets the overrides of that entry. */
void policy_of(const struct config *cfg, const char *database, const char *user, struct policy *r);

#endif
