// The functions of GPUs, added to the addon's exports.
#ifndef SECATEUR_BINDING_DEVICE_H_
#define SECATEUR_BINDING_DEVICE_H_

#include "napi_setup.h"

namespace secateur::binding {

void AddDevice(Napi::Object exports);

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_DEVICE_H_
