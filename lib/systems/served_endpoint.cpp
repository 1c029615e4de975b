#include "systems/served_endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/clock.h"
#include "core/utf8.h"
#include "serving/model_names.h"
#include "serving/openai_stream.h"
#include "serving/preset.h"
#include "serving/sse_parser.h"
#include "serving/token_event.h"
#include "systems/served_prompt.h"

namespace secondsource {
namespace {

constexpr std::int64_t kLongestStallCheckNs = 100'000'000;
constexpr std::string_view kEventStream = "text/event-stream";
// How many bytes of a response that is no event stream are kept for the error message.
constexpr std::size_t kKeptRefusal = 16 << 10;
// More than any real answer: ten thousand tokens with ids and usage in every event are about 5 MB.
constexpr std::int64_t kLargestStream = std::int64_t{256} << 20;

/// How many tokens the text has. A replacement character counts as one: it stands for bytes that are no character, so
/// its own bytes are not those that the model generated.
std::optional<std::int32_t> n_tokens_of(std::string_view text, const Tokenizer& tokenizer) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::size_t n_tokens = 0;
  while (!text.empty()) {
    const std::size_t n_before = std::min(text.find(kReplacement), text.size());
    const auto ids = tokenizer.encode(text.substr(0, n_before), {.add_special_tokens = false});
    if (!ids) return std::nullopt;
    n_tokens += ids->size();
    if (n_before == text.size()) break;
    ++n_tokens;
    text.remove_prefix(n_before + kReplacement.size());
  }
  return static_cast<std::int32_t>(n_tokens);
}

std::optional<std::int32_t> n_tokens_of_texts(std::span<const std::string> texts, const Tokenizer& tokenizer) {
  std::int32_t n_tokens = 0;
  for (const std::string& text : texts) {
    const auto n = n_tokens_of(text, tokenizer);
    if (!n) return std::nullopt;
    n_tokens += *n;
  }
  return n_tokens;
}

}  // namespace

/// One request and what has arrived of its answer.
struct ServedEndpoint::Stream {
  std::int64_t tag = 0;
  std::int32_t n_asked = 0;
  std::int32_t n_prompt_tokens = 0;  ///< by the bundle's tokenizer, until the server counts them
  std::int64_t last_token_ns = 0;    ///< before the first token: when the request was sent
  SseParser parser{};
  std::string refusal{};  ///< the body of a response that is no event stream
  std::string error{};    ///< what is wrong with the stream
  std::int32_t n_tokens = 0;
  bool has_ids = false;
  bool is_done = false;  ///< [DONE] has come
  std::optional<ServedUsage> usage{};
  ServedFinish finish = ServedFinish::kNone;
  std::string other_reason{};  ///< the server's own word, if `finish` is kOther
  std::int32_t n_assumed = 0;  ///< of n_tokens those that nothing showed
  /// Counts the tokens in the text of each event; null: an event counts as one token until the end of the answer shows
  /// how many there are.
  const Tokenizer* counts_text = nullptr;
  std::int32_t n_by_text = 0;  ///< of n_tokens those that only the text showed
  /// What arrived in each channel while the server has given neither ids nor a count of its tokens.
  std::array<std::string, 3> texts{};
  std::array<std::size_t, 3> last_begins{};    ///< where the text of the last event begins in each
  std::optional<std::int64_t> opened_in_ns{};  ///< present if this request opened a connection
  std::int64_t sent_ns = 0;
  bool has_begun = false;                                 ///< bytes of the stream have come
  bool wants_created = false;                             ///< until the first event has been read
  std::optional<std::int64_t> created_s{};                ///< of the first event
  ServedChunk chunk{};                                    ///< the last one; its memory is reused
  const std::vector<std::string>* model_names = nullptr;  ///< that the answer may have; empty: any

  Result<void> push(std::string_view bytes, std::int64_t at_ns, std::vector<SystemToken>& arrived);
  Result<void> take(std::string_view data, std::int64_t at_ns, std::vector<SystemToken>& arrived);
  void add_tokens(std::int64_t at_ns, std::vector<SystemToken>& arrived);
  void add_missing(std::vector<SystemToken>& arrived);
  void keep_text();
  [[nodiscard]] std::int32_t n_tokens_of_chunk();
  [[nodiscard]] bool is_counted() const { return has_ids || (usage && usage->n_output_tokens); }
  [[nodiscard]] std::string fault() const;
};

Result<void> ServedEndpoint::Stream::push(std::string_view bytes, std::int64_t at_ns,
                                          std::vector<SystemToken>& arrived) {
  struct Taker {
    Stream& stream;
    std::int64_t at_ns;
    std::vector<SystemToken>& arrived;
  };
  Taker taker{*this, at_ns, arrived};
  // One pointer is captured, which a std::function holds without allocating.
  return parser.push(bytes,
                     [to = &taker](std::string_view data) { return to->stream.take(data, to->at_ns, to->arrived); });
}

Result<void> ServedEndpoint::Stream::take(std::string_view data, std::int64_t at_ns,
                                          std::vector<SystemToken>& arrived) {
  if (is_done) return Error{ErrorCode::kInvalidInput, "an event behind [DONE]"};
  if (data == kStreamEnd) {
    is_done = true;
    return {};
  }
  if (std::exchange(wants_created, false)) created_s = created_of(data);
  if (!read_token_event(data, chunk)) {
    SS_TRY(chunk, parse_served_chunk(data));
  }
  if (!model_names->empty() && !chunk.model.empty() && !is_named(*model_names, chunk.model)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("expected an answer of model {}, found one of {}",
                                                       in_quotes(model_names->front()), in_quotes(chunk.model))};
  }
  add_tokens(at_ns, arrived);
  if (chunk.usage) usage = chunk.usage;
  if (!is_counted()) keep_text();
  if (chunk.finish != ServedFinish::kNone) {
    finish = chunk.finish;
    other_reason = chunk.other_reason;
  }
  return {};
}

void ServedEndpoint::Stream::add_tokens(std::int64_t at_ns, std::vector<SystemToken>& arrived) {
  has_ids = has_ids || !chunk.ids.empty();
  std::int32_t n_new = 0;
  if (has_ids) {
    n_new = static_cast<std::int32_t>(chunk.ids.size());
  } else if (chunk.has_text() && chunk.usage && chunk.usage->n_output_tokens.value_or(0) > 0) {
    n_new = std::clamp(*chunk.usage->n_output_tokens - n_tokens, 0, n_asked);
  } else if (chunk.has_text()) {
    n_new = n_tokens_of_chunk();
  }
  for (std::int32_t index = 0; index < n_new; ++index) {
    SystemToken token;
    token.tag = tag;
    token.id = has_ids ? chunk.ids[static_cast<std::size_t>(index)] : -1;
    token.at_ns = at_ns;
    token.visible_ns = chunk.text.empty() ? 0 : at_ns;
    arrived.push_back(token);
  }
  n_tokens += n_new;
  if (n_new > 0) last_token_ns = at_ns;
}

/// How many tokens an event has that has a text and nothing that counts them: by how many tokens it makes the text of the
/// event before it longer. (Some tokenizers put a space before every text, which the difference leaves out.)
std::int32_t ServedEndpoint::Stream::n_tokens_of_chunk() {
  if (counts_text == nullptr) return 1;
  std::int32_t n = 0;
  const std::array<std::string_view, 3> channels = {chunk.text, chunk.thought, chunk.tool};
  for (std::size_t channel = 0; channel < channels.size(); ++channel) {
    const std::string before = texts[channel].substr(last_begins[channel]);
    last_begins[channel] = texts[channel].size();
    if (channels[channel].empty()) continue;
    n += n_tokens_of(before + std::string(channels[channel]), *counts_text).value_or(0) -
         n_tokens_of(before, *counts_text).value_or(0);
  }
  n = std::clamp(n, 1, std::max(1, n_asked - n_tokens));
  n_by_text += n - 1;
  return n;
}

/// Tokens that had no event of their own get the time of the last event: those that the server counted or, where it gives
/// no count, those that an answer which ended by its length is assumed to have.
void ServedEndpoint::Stream::add_missing(std::vector<SystemToken>& arrived) {
  if (has_ids || n_tokens == 0) return;
  const std::int32_t n_counted = is_counted()                      ? *usage->n_output_tokens
                                 : finish == ServedFinish::kLength ? n_asked
                                                                   : n_tokens;
  if (!is_counted()) n_assumed = std::max(0, n_counted - n_tokens);
  for (; n_tokens < std::min(n_counted, n_asked); ++n_tokens) {
    SystemToken token;
    token.tag = tag;
    token.at_ns = last_token_ns;
    arrived.push_back(token);
  }
}

void ServedEndpoint::Stream::keep_text() {
  texts[0] += chunk.text;
  texts[1] += chunk.thought;
  texts[2] += chunk.tool;
}

/// Why a stream that ended without an error is still not an answer; empty if it is one.
std::string ServedEndpoint::Stream::fault() const {
  if (finish == ServedFinish::kNone && !is_done) return "the server ended the stream before the answer was complete";
  if (n_tokens == 0) return "the stream ended without a token";
  if (finish == ServedFinish::kNone) return "the server ended the answer without a finish reason";
  if (finish == ServedFinish::kOther) {
    return fmt::format("the server ended the answer with the finish reason {}: expected length or stop",
                       in_quotes(other_reason));
  }
  return "";
}

ServedEndpoint::ServedEndpoint(ServedSystem system, HttpClient client, const Tokenizer* tokenizer,
                               std::int64_t stall_ns)
    : system_(std::move(system)), client_(std::move(client)), tokenizer_(tokenizer), stall_ns_(stall_ns) {}

ServedEndpoint::~ServedEndpoint() = default;

std::string ServedEndpoint::name() const {
  return fmt::format("{} at {}", facts_of(system_.preset).title, system_.url);
}

bool ServedEndpoint::remember(const EncodedPrompt& prompt) {
  if (remembered_.contains(&prompt)) return true;
  auto form = exact_prompt(prompt, system_, tokenizer_);
  if (!form) return false;
  remembered_.emplace(&prompt, *std::move(form));
  return true;
}

Result<ServedPrompt> ServedEndpoint::prompt_of(const TimedRequest& request) const {
  const auto known = remembered_.find(request.prompt);
  if (request.prompt != nullptr && known != remembered_.end()) return known->second;
  return nearest_prompt(request, system_, tokenizer_);
}

Result<void> ServedEndpoint::submit(const TimedRequest& request) {
  SS_TRY(ServedPrompt prompt, prompt_of(request));
  auto stream = std::make_unique<Stream>();
  stream->tag = request.tag;
  stream->n_asked = request.n_output_tokens;
  stream->model_names = &model_names_;
  stream->n_prompt_tokens =
      static_cast<std::int32_t>(request.prompt != nullptr ? request.prompt->ids.size() : request.ids.size());
  // A request that is cancelled gets no count at its end, so its tokens are counted as they come.
  if (request.cancel_after > 0 && request.cancel_after < request.n_output_tokens) stream->counts_text = tokenizer_;
  stream->sent_ns = stream->last_token_ns = now_ns();
  HttpCall call;
  call.url = system_.url + std::string(path_of(system_.api));
  call.body = openai_body(system_, {std::move(prompt), request.n_output_tokens, AnswerLength::kExact, true,
                                    /*continues=*/!request.part_ends.empty()});
  call.accept = kEventStream;
  call.timeout_ns = static_cast<std::int64_t>(1e9 * system_.timeout_s);
  call.max_body_bytes = kLargestStream;
  call.on_body = [this, open = stream.get()](const HttpHead& head, std::string_view bytes, std::int64_t at_ns) {
    if (head.status != 200 || !has_type(head.content_type, kEventStream)) {
      open->refusal += bytes.substr(0, kKeptRefusal - std::min(kKeptRefusal, open->refusal.size()));
      return true;
    }
    // The head of the response was read before its body, so a server that sends Dates has already sent one.
    if (!std::exchange(open->has_begun, true)) open->wants_created = client_.dates().is_empty();
    const Result<void> parsed = open->push(bytes, at_ns, arrived_);
    if (const auto created_s = std::exchange(open->created_s, std::nullopt)) {
      created_.add(open->sent_ns, at_ns, *created_s);
    }
    if (!parsed) open->error = parsed.error().message;
    return parsed.has_value();
  };
  if (open_.empty()) last_sign_ns_ = now_ns();
  open_[request.tag] = std::move(stream);
  return client_.start(request.tag, std::move(call));
}

std::optional<ServerClock> ServedEndpoint::take_server_clock(std::int64_t origin_ns) {
  const std::int64_t wall_ns = wall_clock_origin_ns();
  auto created = created_.take(origin_ns, wall_ns);
  if (auto dates = client_.dates().take(origin_ns, wall_ns)) return dates;
  if (created) created->source = ServerTime::kCreated;
  return created;
}

Result<void> ServedEndpoint::poll(std::int64_t until_ns, SystemEvents& events) {
  if (arrived_.empty()) {
    ends_.clear();
    SS_TRY_VOID(client_.poll(until_ns, ends_));
    for (const HttpEnd& end : ends_) take_end(end, events);
  }
  if (!arrived_.empty()) last_sign_ns_ = arrived_.back().at_ns;
  SS_TRY_VOID(end_stalled(events));
  events.tokens.insert(events.tokens.end(), arrived_.begin(), arrived_.end());
  arrived_.clear();
  return {};
}

void ServedEndpoint::take_end(const HttpEnd& end, SystemEvents& events) {
  const auto found = open_.find(end.id);
  if (found == open_.end()) return;
  Stream& stream = *found->second;
  if (end.connection) stream.opened_in_ns = end.connection->total_ns();
  std::string error = std::move(stream.error);
  if (error.empty()) error = refusal_of(end, stream.refusal, kEventStream, client_.key());
  // If the connection breaks after the last event, nothing is lost.
  if (!stream.is_done && !end.error.empty()) error = end.error;
  // A line behind the finish reason that has no end, as "data: [DONE]" of some servers, belongs to no event.
  const bool is_whole = stream.finish != ServedFinish::kNone && stream.parser.is_within_line();
  if (error.empty() && !is_whole) {
    const Result<void> ended =
        stream.parser.finish([&](std::string_view data) { return stream.take(data, now_ns(), arrived_); });
    if (!ended) error = ended.error().message;
  }
  if (error.empty()) error = stream.fault();
  finish(stream, std::move(error), events);
  open_.erase(found);
}

Result<void> ServedEndpoint::end_stalled(SystemEvents& events) {
  const std::int64_t now = now_ns();
  // The check visits every open stream, so it is not done at every token.
  if (now < next_stall_check_ns_) return {};
  next_stall_check_ns_ = now + std::min(kLongestStallCheckNs, stall_ns_ / 16);
  if (system_.managed && !open_.empty() && now - last_sign_ns_ > stall_ns_) {
    return Error{ErrorCode::kDeadline, fmt::format("the server sent no token for any request for {:g} s",
                                                   1e-9 * static_cast<double>(stall_ns_))};
  }
  for (auto next = open_.begin(); next != open_.end();) {
    Stream& stream = *next->second;
    if (now - stream.last_token_ns <= stall_ns_) {
      ++next;
      continue;
    }
    client_.cancel(stream.tag);
    finish(stream, fmt::format("no token for {:g} s", 1e-9 * static_cast<double>(stall_ns_)), events);
    next = open_.erase(next);
  }
  return {};
}

void ServedEndpoint::note_connection(const Stream& stream, RequestEnd& end) const {
  if (!stream.opened_in_ns) return;
  end.connect_ns = std::min(*stream.opened_in_ns, idle_connect_ns_.value_or(0));
  if (*stream.opened_in_ns > *end.connect_ns) end.connect_wait_ns = *stream.opened_in_ns - *end.connect_ns;
}

void ServedEndpoint::finish(Stream& stream, std::string error, SystemEvents& events) {
  if (error.empty()) stream.add_missing(arrived_);
  RequestEnd end;
  end.tag = stream.tag;
  end.error = client_.key().cut_from(std::move(error));
  note_connection(stream, end);
  end.n_prompt_tokens = stream.n_prompt_tokens;
  if (stream.usage) {
    if (stream.usage->n_prompt_tokens.value_or(0) > 0) end.n_prompt_tokens = *stream.usage->n_prompt_tokens;
    end.n_cached_prompt_tokens = stream.usage->n_cached_prompt_tokens;
    end.n_output_tokens = stream.usage->n_output_tokens;
  }
  end.n_assumed_tokens = stream.n_assumed;
  const bool has_event_for_each = stream.n_assumed + stream.n_by_text == 0 && stream.n_tokens == stream.n_asked;
  if (end.error.empty() && !stream.is_counted() && !has_event_for_each) count_later(stream, end);
  if (stream.finish == ServedFinish::kStop) end.finish = RequestFinish::kEos;
  events.ends.push_back(std::move(end));
}

void ServedEndpoint::count_later(Stream& stream, RequestEnd& end) const {
  if (tokenizer_ == nullptr) return;
  end.count_text_tokens = [texts = std::move(stream.texts), tokenizer = tokenizer_] {
    return n_tokens_of_texts(texts, *tokenizer);
  };
}

Result<std::optional<RequestEnd>> ServedEndpoint::cancel(std::int64_t tag) {
  const auto found = open_.find(tag);
  if (found == open_.end()) return std::optional<RequestEnd>();
  Stream& stream = *found->second;
  client_.cancel(tag);
  RequestEnd end{.tag = tag, .n_prompt_tokens = stream.n_prompt_tokens, .finish = RequestFinish::kCancelled};
  if (stream.usage && stream.usage->n_prompt_tokens.value_or(0) > 0)
    end.n_prompt_tokens = *stream.usage->n_prompt_tokens;
  if (stream.usage) end.n_cached_prompt_tokens = stream.usage->n_cached_prompt_tokens;
  note_connection(stream, end);
  if (!stream.is_counted() && stream.n_by_text > 0) count_later(stream, end);
  open_.erase(found);
  return std::optional(std::move(end));
}

Result<void> ServedEndpoint::abandon() {
  client_.cancel_all();
  open_.clear();
  arrived_.clear();
  return {};
}

void ServedEndpoint::open_connections(std::int32_t n_connections) {
  constexpr std::int64_t kTimeoutNs = 10'000'000'000;
  std::vector<HttpEnd> ends;
  std::size_t n_started = 0;
  for (; n_started < static_cast<std::size_t>(n_connections); ++n_started) {
    HttpCall call;
    call.url = system_.url + "/models";
    call.timeout_ns = kTimeoutNs;
    call.on_body = [](const HttpHead&, std::string_view, std::int64_t) { return true; };
    // Otherwise a request that ends before the next one begins would pass its connection on to it.
    call.opens_connection = n_started >= n_connections_;
    if (!client_.start(-1 - static_cast<std::int64_t>(n_started), std::move(call))) break;
  }
  const std::int64_t until_ns = now_ns() + kTimeoutNs;
  while (ends.size() < n_started && now_ns() < until_ns) {
    if (!client_.poll(until_ns, ends)) break;
  }
  client_.cancel_all();
  for (const HttpEnd& end : ends) {
    if (!end.connection || !end.error.empty()) continue;
    idle_connect_ns_ = std::min(idle_connect_ns_.value_or(INT64_MAX), end.connection->total_ns());
  }
  n_connections_ = std::max(n_connections_, n_started);
}

}  // namespace secondsource
