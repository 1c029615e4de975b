#pragma once
// The files of a run, as plain data: run.json (RunRecord), samples.jsonl (JournalLine, appended line by line) and
// summary.json (RunSummary, derived from the two by lib/summary). docs/results-format.md and reports/schemas/ describe
// the JSON; record_json.h reads and writes it. Times are integer nanoseconds; those of a sample count from the start of
// its repetition. A value that was not measured is an empty optional, never a zero.

#include "record/cell_summary.h"
#include "record/failure_record.h"
#include "record/format_version.h"
#include "record/golden_record.h"
#include "record/journal.h"
#include "record/limit_share.h"
#include "record/machine_limits.h"
#include "record/operation_times.h"
#include "record/rate_probe.h"
#include "record/repetition.h"
#include "record/request_sample.h"
#include "record/run_record.h"
#include "record/run_settings.h"
#include "record/scenario.h"
#include "record/slo.h"
