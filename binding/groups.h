// Groupings and the counts of group selections, to and from JavaScript.
#ifndef SECATEUR_BINDING_GROUPS_H_
#define SECATEUR_BINDING_GROUPS_H_

#include <optional>

#include "napi_setup.h"
#include "secateur/groups.h"

namespace secateur::binding {

// Nothing for undefined. Sets are copied.
std::optional<Grouping> ParseGrouping(const Napi::Value& value);

Napi::Object WrapGroupCounts(Napi::Env env, const GroupSelection& groups);

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_GROUPS_H_
