#pragma once
// A server behind an OpenAI-compatible streaming API as a system under test. The time of a token is when the bytes of
// its event were read on this host. docs/metrics.md defines how tokens are counted if an event has several or the
// server gives no ids.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "measure/system_under_test.h"
#include "record/served_system.h"
#include "serving/http_client.h"
#include "serving/openai_request.h"
#include "serving/server_times.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

class ServedEndpoint final : public SystemUnderTest {
 public:
  /// A request without a new token for `stall_ns` ends with an error. If no request gets a token for so long, a server
  /// that this program started counts as hanging. `tokenizer` may be null; otherwise it must outlive this object.
  ServedEndpoint(ServedSystem system, HttpClient client, const Tokenizer* tokenizer, std::int64_t stall_ns);
  ~ServedEndpoint() override;

  [[nodiscard]] std::string name() const override;
  /// Unlimited, because every request is sent at once and the server queues them.
  [[nodiscard]] std::int32_t max_in_flight() const override { return INT32_MAX; }
  Result<void> submit(const TimedRequest& request) override;
  Result<void> poll(std::int64_t until_ns, SystemEvents& events) override;
  /// Closes the request's stream (over HTTP/1.1 its connection), by which the server notices the cancellation.
  Result<std::optional<RequestEnd>> cancel(std::int64_t tag) override;
  Result<void> abandon() override;
  [[nodiscard]] MemoryUse memory() const override { return {}; }
  [[nodiscard]] StepTotals step_totals() const override { return {}; }
  [[nodiscard]] bool computes_here() const override { return false; }
  /// Uses the server's Date headers or, if it sends none, `created` of its answers.
  [[nodiscard]] std::optional<ServerClock> take_server_clock(std::int64_t origin_ns) override;

  /// Computes in advance the form in which a prompt is sent; `prompt` must outlive this object. False if the server
  /// cannot be given exactly its ids; a similar prompt is sent then.
  bool remember(const EncodedPrompt& prompt);
  /// From now on an answer that names another model is an error of its request: `names` are those of the model that
  /// is asked. An answer that names none is taken.
  void expect_answers_of(std::vector<std::string> names) { model_names_ = std::move(names); }
  /// Opens connections in advance, so that timed requests do not have to. A failure shows only when a request is sent.
  void open_connections(std::int32_t n_connections);

  [[nodiscard]] const ConnectionTotals& connections() const { return client_.connections(); }
  [[nodiscard]] HttpClient& client() { return client_; }
  [[nodiscard]] const ServedSystem& system() const { return system_; }

 private:
  struct Stream;
  Result<ServedPrompt> prompt_of(const TimedRequest& request) const;
  void take_end(const HttpEnd& end, SystemEvents& events);
  Result<void> end_stalled(SystemEvents& events);
  /// Divides the time in which the stream's connection was opened: RequestSample says how.
  void note_connection(const Stream& stream, RequestEnd& end) const;
  void finish(Stream& stream, std::string error, SystemEvents& events);
  /// Lets the end count the tokens of the stream's text, where there is a tokenizer.
  void count_later(Stream& stream, RequestEnd& end) const;

  ServedSystem system_;
  HttpClient client_;
  const Tokenizer* tokenizer_;
  std::int64_t stall_ns_;
  std::vector<std::string> model_names_;  ///< that answers may have; empty: any
  std::map<const EncodedPrompt*, ServedPrompt> remembered_;
  std::map<std::int64_t, std::unique_ptr<Stream>> open_;  ///< by tag
  ServerTimes created_;                                   ///< of answers whose responses had no Date
  std::vector<SystemToken> arrived_;
  std::int64_t last_sign_ns_ = 0;  ///< sign of life: a token of any request, or the first request after none was open
  std::int64_t next_stall_check_ns_ = 0;
  std::size_t n_connections_ = 0;  ///< the number that open_connections() has opened
  /// The shortest time in which it opened one, since the others may have waited for each other.
  std::optional<std::int64_t> idle_connect_ns_;
  std::vector<HttpEnd> ends_;
};

}  // namespace secondsource
