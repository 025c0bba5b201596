// Selections as opaque values of JavaScript's, type-tagged, with what is needed to check that they
// are applied to tensors of the kind they were made from.
#ifndef SECATEUR_BINDING_SELECTION_HANDLE_H_
#define SECATEUR_BINDING_SELECTION_HANDLE_H_

#include <memory>
#include <vector>

#include "napi_setup.h"
#include "secateur/mask.h"
#include "secateur/select.h"

namespace secateur::binding {

struct TensorKind {
  DType dtype;
  int64_t count;
};

struct HeldSelection {
  Selection selection;
  std::vector<TensorKind> kinds;
};

// NativeSelection of src/native/contract.ts, its handle included.
Napi::Object WrapSelection(Napi::Env env, Selection selection,
                           const std::vector<TensorKind>& kinds);
Napi::Array WrapSelections(Napi::Env env, std::vector<Selection>& selections,
                           const std::vector<TensorKind>& kinds);

// Uint8Arrays of one bit a weight, one array a tensor, for another thread to fill.
struct MaskArrays {
  MaskArrays(Napi::Env env, const std::vector<TensorKind>& kinds);
  std::shared_ptr<Napi::ObjectReference> kept;  // the array of them
  std::vector<uint8_t*> out;
};

// Throws a TypeError when `value` is no handle, or the tensors are of another number, type or size.
std::shared_ptr<const HeldSelection> UnwrapSelection(const Napi::Value& value,
                                                     const std::vector<MaskedTensor>& tensors);

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_SELECTION_HANDLE_H_
