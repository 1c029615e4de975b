#include "runner/finished_work.h"

#include <algorithm>

namespace secondsource {

FinishedWork::FinishedWork(const std::vector<JournalLine>& lines, std::size_t n_retried_lines) {
  for (std::size_t index = 0; index < lines.size(); ++index) {
    const JournalLine& line = lines[index];
    if (const auto* golden = std::get_if<GoldenRecord>(&line)) {
      golden_.insert(golden->bundle + "/" + golden->backend + "/" + golden->variant);
    } else if (const auto* failure = std::get_if<FailureRecord>(&line)) {
      if (!failure->cell.empty() && index >= n_retried_lines) failed_.insert(failure->cell);
    } else if (const auto* repetition = std::get_if<Repetition>(&line)) {
      repetitions_.insert({repetition->cell, repetition->repetition});
    } else if (const auto* probe = std::get_if<RateProbe>(&line)) {
      probes_[probe->cell].push_back(*probe);
    } else if (const auto* sample = std::get_if<RequestSample>(&line)) {
      PartialRepetition& partial = samples_[{sample->cell, sample->repetition}];
      partial.n_done = std::max(partial.n_done, sample->request + 1);
      partial.clock_ns = std::max(partial.clock_ns, sample->last_token_ns.value_or(sample->sent_ns));
      partial.n_tokens += sample->n_output_tokens;
    }
  }
}

std::vector<RateProbe> FinishedWork::probes(const std::string& cell) const {
  const auto found = probes_.find(cell);
  return found == probes_.end() ? std::vector<RateProbe>() : found->second;
}

PartialRepetition FinishedWork::partial(const std::string& cell, std::int32_t repetition) const {
  const auto found = samples_.find({cell, repetition});
  return found == samples_.end() ? PartialRepetition() : found->second;
}

}  // namespace secondsource
