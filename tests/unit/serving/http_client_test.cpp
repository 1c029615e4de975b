#include "serving/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "core/clock.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

/// A port of this host on which nobody listens: that of a socket which is bound and closed.
int unused_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(socket >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

}  // namespace

TEST_CASE("a call that has ended while it was started is taken at once, and not at the end of a wait") {
  auto client = HttpClient::create({});
  REQUIRE_OK(client);
  // The kernel refuses a connection to this host within the call that asks for it.
  REQUIRE_OK(client->start(7, {.url = "http://127.0.0.1:" + std::to_string(unused_port()) + "/"}));
  const std::int64_t until_ns = now_ns() + 20'000'000'000;
  std::vector<HttpEnd> ends;
  REQUIRE_OK(client->poll(until_ns, ends));
  CHECK(ends.size() == 1);
  CHECK(now_ns() < until_ns);
}
