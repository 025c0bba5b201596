// Parameter stores as opaque values of JavaScript's, type-tagged, and typed arrays over their
// memory. Each array holds the store by itself, so that it outlives every handle; disposing of a
// handle detaches the arrays that were made from it, and the memory goes when the last holder in
// any thread does.
#ifndef SECATEUR_BINDING_STORE_HANDLE_H_
#define SECATEUR_BINDING_STORE_HANDLE_H_

#include <memory>

#include "napi_setup.h"
#include "secateur/parameter_store.h"

namespace secateur::binding {

Napi::Value WrapStore(Napi::Env env, std::shared_ptr<ParameterStore> store);

// Throws a TypeError when `value` is no handle of a store, INVALID_OPTION after DisposeStore.
std::shared_ptr<ParameterStore> UnwrapStore(const Napi::Value& value);

// Float32Arrays over one slot, or Uint8Arrays over the mask or the support, one a tensor; all are
// made if they are not there.
Napi::Array SlotViews(const Napi::Value& handle, Slot slot);
Napi::Array MaskViews(const Napi::Value& handle);
Napi::Array SupportViews(const Napi::Value& handle);

// Detaches the arrays made from this handle and lets go of the store. The second call does nothing.
void DisposeStore(const Napi::Value& handle);

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_STORE_HANDLE_H_
