// How functions get into the addon's exports.
#ifndef SECATEUR_BINDING_EXPORTS_H_
#define SECATEUR_BINDING_EXPORTS_H_

#include "napi_setup.h"

namespace secateur::binding {

// add(name, function) for one object of exports.
inline auto AdderTo(Napi::Object exports) {
  return [exports](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) mutable {
    exports.Set(name, Napi::Function::New(exports.Env(), function, name));
  };
}

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_EXPORTS_H_
