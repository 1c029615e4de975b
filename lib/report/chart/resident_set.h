#pragma once
// The resident set of models over time: which models are in the memory of a device during one mix, and when each was loaded and
// evicted.

#include "report/chart/chart.h"
#include "summary/resident_course.h"

namespace secondsource {

/// A row for each model of `course`, with a bar wherever it was resident.
[[nodiscard]] Chart resident_set_chart(std::string title, const ResidentCourse& course);

}  // namespace secondsource
