/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that take lines: to a collector of logs, to syslog. They never block for longer than they are given. */
#pragma once

#include "base/bytes.h"

/*
 * kind     "tcp" or "udp" with "127.0.0.1:514" or "[::1]:514" (numbers only: no name server is asked), "unix" or "unixgram" with a path
 * ret      non-blocking, connected; -1 with errno
 */
int mln_sink_open(const char *kind, const char *target, int64_t until_mono_ns);
bool mln_sink_is_datagram(const char *kind);
/* As send, without a signal. */
ptrdiff_t mln_sink_send(int fd, struct mln_bytes bytes);
/* May the descriptor be written to before that time? */
bool mln_sink_wait(int fd, int64_t until_mono_ns);
