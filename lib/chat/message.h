#pragma once
// One message of a conversation.

#include <string>

namespace secondsource {

struct ChatMessage {
  std::string role;  ///< system, user or assistant; a template may know others
  std::string content;
};

}  // namespace secondsource
