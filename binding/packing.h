// The packing part of the addon (src/native/packing-contract.ts).
#ifndef SECATEUR_BINDING_PACKING_H_
#define SECATEUR_BINDING_PACKING_H_

#include "napi_setup.h"

namespace secateur::binding {

void AddPacking(Napi::Object exports);

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_PACKING_H_
