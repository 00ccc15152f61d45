/* SPDX-License-Identifier: Apache-2.0 */
/* den's figures for Prometheus (text format 0.0.4), and whether it lives and can work: what the listener `metrics` serves. */
#pragma once

#include "den/web.h"

/* /metrics, /healthz (the process turns: always 200) and /readyz (503 and why, while den cannot do all that it is for). */
void metrics_serve(struct den_core *core, struct view path, struct web_page *page);
