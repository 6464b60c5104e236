/* manager.h - what a service manager tells us and wants to know: sd_notify(3) and sd_listen_fds(3) without libsystemd.
 * Source  systemd's documented protocol: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID, LISTEN_FDS, LISTEN_PID.
 * Shape   one datagram a message.
 * Owner   -
 * Thread  the main thread.
 * Errors  none: without a manager nothing happens. */
#ifndef PROXY_MANAGER_H
#define PROXY_MANAGER_H

#include <stdint.h>

#define MANAGER_FIRST_FD 3

/* Listening sockets that were passed: MANAGER_FIRST_FD and the following ones. */
int manager_sockets(void);

/* We serve now; also the end of manager_reloading. `status` is one line for people. */
void manager_ready(const char *status);
void manager_reloading(void);
/* We are about to end, in at most within_us. */
void manager_stopping(uint64_t within_us);

/* How often manager_alive must be called at least; 0 = nobody waits for it. */
uint64_t manager_watchdog_us(void);
void manager_alive(void);

#endif
