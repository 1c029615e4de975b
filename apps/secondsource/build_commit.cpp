#include "build_commit.h"

#include "secondsource_build_commit.h"

namespace secondsource {

const char* build_commit() {
  return kBuildCommit;
}

}  // namespace secondsource
