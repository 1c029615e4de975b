#pragma once
// The requests in the log of a vLLM server. One request is one line, or two since 0.12. The format (where texts are
// cut, how line breaks and quotes are written, and the words around them) follows vLLM's entrypoints/logger.py and its
// predecessors:
//
//   INFO 05-26 22:28:18 async_llm_engine.py:529] Received request cmpl-1: prompt: 'Hi', sampling_params: ...     (to 0.4.2)
//   INFO 12-06 14:09:27 logger.py:37] Received request cmpl-1-0: prompt: 'Hi', params: ..., prompt_token_ids: [13347], ...
//   DEBUG 03-24 10:00:00 [entrypoints/logger.py:51] Request chatcmpl-1 details: prompt: 'Hi', prompt_token_ids: [13347], ...
//   INFO 03-24 10:00:00 [entrypoints/logger.py:60] Received request chatcmpl-1: params: SamplingParams(...), ...     (from 0.12)
//   INFO 03-24 10:00:01 [entrypoints/logger.py:90] Generated response chatcmpl-1: output: 'Hello', output_token_ids: [1, 2], ...
//
// Texts are Python's repr of a string. What stands before, such as a time or the name of a container, does not matter.

#include <string>
#include <string_view>

#include "core/result.h"
#include "recorded/read_recorded.h"

namespace secondsource {

/// The prompts are the texts that the model got, with its chat template in them. `text` must be UTF-8. Errors: kInvalidInput if
/// no line is a request.
Result<RecordedFile> read_vllm_log(std::string_view text, const std::string& name);

}  // namespace secondsource
