// Which backends this CPU can run, and which one is in use.
#include <cstdlib>
#include <string>

#include "cpu/backends.h"
#include "secateur/error.h"

namespace secateur {
namespace {

std::vector<const Backend*> Detect() {
  std::vector<const Backend*> found;
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  const bool has_bmi = __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                       __builtin_cpu_supports("popcnt");
  if (has_bmi && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vbmi2")) {
    found.push_back(&kAvx512Backend);
  }
  if (has_bmi && __builtin_cpu_supports("avx2")) found.push_back(&kAvx2Backend);
#elif defined(__aarch64__)
  found.push_back(&kNeonBackend);
#endif
  found.push_back(&kPortableBackend);
  return found;
}

const Backend& Choose() {
  const char* forced = std::getenv("SECATEUR_FORCE_BACKEND");
  if (forced == nullptr || *forced == '\0') return *SupportedBackends().front();
  std::string names;
  for (const Backend* backend : SupportedBackends()) {
    if (backend->name == forced) return *backend;
    names += names.empty() ? "" : ", ";
    names += backend->name;
  }
  throw Error("INVALID_OPTION", "Expected SECATEUR_FORCE_BACKEND to be one of " + names +
                                    " on this processor, got \"" + forced + "\"");
}

}  // namespace

const std::vector<const Backend*>& SupportedBackends() {
  static const std::vector<const Backend*> backends = Detect();
  return backends;
}

const Backend& ActiveBackend() {
  static const Backend& backend = Choose();
  return backend;
}

}  // namespace secateur
