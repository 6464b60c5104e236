/* commands.h - `pgweir doctor` and `pgweir setup`: what looks at a server or prepares it, and ends.
 * Source  docs/setup.md.
 * Shape   a command line in, text on standard output and an exit status out.
 * Owner   -
 * Thread  the main thread; blocks.
 * Errors  texts on standard error, exit status 2. */
#ifndef PROXY_COMMANDS_H
#define PROXY_COMMANDS_H

/* argv[0] is the command's name. -1: there is no such command. */
int commands_run(int argc, char **argv);

#endif
