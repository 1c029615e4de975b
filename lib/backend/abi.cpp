#include "backend/module.h"
#include "secondsource_boundary_hash.h"

#define SS_STRING_INNER(x) #x
#define SS_STRING(x) SS_STRING_INNER(x)

#if defined(__clang__)
#define SS_COMPILER "clang " SS_STRING(__clang_major__) "." SS_STRING(__clang_minor__)
#else
#define SS_COMPILER "gcc " SS_STRING(__GNUC__) "." SS_STRING(__GNUC_MINOR__)
#endif

#if defined(_GLIBCXX_USE_CXX11_ABI)
#define SS_STANDARD_LIBRARY "libstdc++ cxx11=" SS_STRING(_GLIBCXX_USE_CXX11_ABI)
#elif defined(_LIBCPP_VERSION)
#define SS_STANDARD_LIBRARY "libc++ " SS_STRING(_LIBCPP_VERSION)
#else
#define SS_STANDARD_LIBRARY "unknown standard library"
#endif

// Both macros change the layout or the behaviour of the standard containers.
#if defined(_GLIBCXX_DEBUG)
#define SS_ASSERTIONS " debug"
#elif defined(_GLIBCXX_ASSERTIONS)
#define SS_ASSERTIONS " assertions"
#else
#define SS_ASSERTIONS ""
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SS_SANITIZER "address"
#elif defined(__SANITIZE_THREAD__)
#define SS_SANITIZER "thread"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SS_SANITIZER "address"
#elif __has_feature(thread_sanitizer)
#define SS_SANITIZER "thread"
#endif
#endif
#if !defined(SS_SANITIZER)
#define SS_SANITIZER "none"
#endif

namespace secondsource {

std::string_view backend_abi_id() {
  return SS_COMPILER "; " SS_STANDARD_LIBRARY SS_ASSERTIONS "; sanitizer " SS_SANITIZER
                     "; boundary " SECONDSOURCE_BOUNDARY_HASH;
}

}  // namespace secondsource
