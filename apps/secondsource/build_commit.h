#pragma once

namespace secondsource {

/// The commit of the sources at the time of the build, as `git describe --always --dirty` names it: "3f2a91c07d5e", or
/// "3f2a91c07d5e-dirty" if files under version control were changed since. "unknown" outside a checkout.
const char* build_commit();

}  // namespace secondsource
