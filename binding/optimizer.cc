// The functions of training: parameter stores, optimizer steps, projections and masks. Two comment
// lines each, as in addon.cc: what it calls, and its TypeScript signature.
#include "optimizer.h"

#include <string>
#include <utility>

#include "convert.h"
#include "exports.h"
#include "groups.h"
#include "secateur/admm.h"
#include "secateur/optimizer.h"
#include "selection_handle.h"
#include "store_handle.h"
#include "task.h"

namespace secateur::binding {
namespace {

// For synchronous calls: failures of the library as errors of JavaScript's.
template <class Body>
Napi::Value Guard(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const Error& error) {
    throw ToJsError(env, error);
  } catch (const std::bad_alloc&) {
    throw ToJsError(env, Error("INTERNAL", "Out of memory"));
  }
}

Slot ParseSlot(const Napi::Value& value) {
  const std::string name = value.ToString().Utf8Value();
  constexpr const char* kNames[kSlots] = {"parameters",   "gradients", "firstMoment",
                                          "secondMoment", "admm",      "average"};
  for (int slot = 0; slot < kSlots; ++slot) {
    if (name == kNames[slot]) return static_cast<Slot>(slot);
  }
  throw Napi::TypeError::New(value.Env(), "Expected the name of a slot, got " + name);
}

std::vector<StoreTensor> ParseStoreTensors(const Napi::Array& array) {
  std::vector<StoreTensor> tensors;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const auto object = array.Get(i).As<Napi::Object>();
    tensors.push_back({GetString(object, "name"), GetInt(object, "size"), GetBool(object, "prune"),
                       GetBool(object, "decay"), GetBool(object, "follow")});
  }
  return tensors;
}

StepOptions ParseStepOptions(const Napi::Object& object) {
  StepOptions options;
  options.kind = GetString(object, "kind") == "adam" ? OptimizerKind::kAdam : OptimizerKind::kSgd;
  options.form = GetString(object, "form") == "runtime" ? AdamForm::kRuntime : AdamForm::kTorch;
  options.step = GetInt(object, "step");
  options.learning_rate = GetDouble(object, "learningRate");
  options.gradient_scale = GetDouble(object, "gradientScale");
  options.max_gradient_norm = GetDouble(object, "maxGradientNorm");
  options.measure_norm = GetBool(object, "measureNorm");
  options.l2 = GetDouble(object, "l2");
  options.decay = GetDouble(object, "decay");
  options.momentum = GetDouble(object, "momentum");
  options.dampening = GetDouble(object, "dampening");
  options.nesterov = GetBool(object, "nesterov");
  options.beta1 = GetDouble(object, "beta1");
  options.beta2 = GetDouble(object, "beta2");
  options.epsilon = GetDouble(object, "epsilon");
  options.correct_bias = GetBool(object, "correctBias");
  options.rho = GetDouble(object, "rho");
  options.threads = static_cast<int>(GetInt(object, "threads"));
  return options;
}

ProjectOptions ParseProjectOptions(const Napi::Object& object) {
  ProjectOptions options;
  options.ratio = GetDouble(object, "ratio");
  options.scope = GetString(object, "scope") == "layer" ? Scope::kLayer : Scope::kGlobal;
  options.min_keep = GetDouble(object, "minKeep");
  options.threads = static_cast<int>(GetInt(object, "threads"));
  return options;
}

Napi::Value WrapStep(Napi::Env env, const StepResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("gradientNorm", result.gradient_norm);
  object.Set("applied", result.applied);
  return object;
}

Napi::Value WrapProject(Napi::Env env, const ProjectResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("gap", result.gap);
  object.Set("moved", result.moved);
  object.Set("changed", static_cast<double>(result.changed));
  object.Set("weights", static_cast<double>(result.weights));
  object.Set("removed", static_cast<double>(result.removed));
  object.Set("removedByTensor", ToArray(env, result.removed_by_tensor));
  return object;
}

Napi::Value WrapMask(Napi::Env env, const MaskResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("kept", ToArray(env, result.kept));
  object.Set("common", static_cast<double>(result.common));
  return object;
}

// std::shared_ptr<ParameterStore> ParameterStore::Create(std::vector<StoreTensor>)
// createStore(tensors: NativeStoreTensor[]): StoreHandle
Napi::Value CreateStore(const Napi::CallbackInfo& info) {
  std::vector<StoreTensor> tensors = ParseStoreTensors(info[0].As<Napi::Array>());
  return Guard(info.Env(),
               [&] { return WrapStore(info.Env(), ParameterStore::Create(std::move(tensors))); });
}

// std::shared_ptr<ParameterStore> ParameterStore::Open(int64_t id)
// openStore(id: number): StoreHandle
Napi::Value OpenStore(const Napi::CallbackInfo& info) {
  const int64_t id = info[0].ToNumber().Int64Value();
  return Guard(info.Env(), [&] { return WrapStore(info.Env(), ParameterStore::Open(id)); });
}

// int64_t ParameterStore::id()
// storeId(store: StoreHandle): number
Napi::Value StoreId(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(UnwrapStore(info[0])->id()));
}

// const std::vector<StoreTensor>& ParameterStore::tensors()
// storePrunable(store: StoreHandle): boolean[]
Napi::Value StorePrunable(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  Napi::Array prunable = Napi::Array::New(info.Env());
  for (const StoreTensor& tensor : store->tensors())
    prunable.Set(prunable.Length(), Napi::Boolean::New(info.Env(), tensor.prune));
  return prunable;
}

// float* ParameterStore::Data(Slot, size_t tensor)
// storeViews(store: StoreHandle, slot: StoreSlot): Float32Array<ArrayBuffer>[]
Napi::Value StoreViews(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] { return SlotViews(info[0], ParseSlot(info[1])); });
}

// uint8_t* ParameterStore::MaskBytes()
// storeMaskViews(store: StoreHandle): Uint8Array<ArrayBuffer>[]
Napi::Value StoreMaskViews(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] { return MaskViews(info[0]); });
}

// uint8_t* ParameterStore::SupportBytes()
// storeSupportViews(store: StoreHandle): Uint8Array<ArrayBuffer>[]
Napi::Value StoreSupportViews(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] { return SupportViews(info[0]); });
}

// bool ParameterStore::Has(Slot), HasMask(), admm.by_support, grouping
// storeHas(store: StoreHandle, part: StorePart): boolean
Napi::Value StoreHas(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  const std::scoped_lock lock(store->mutex);
  const std::string part = info[1].ToString().Utf8Value();
  const bool has = part == "mask"       ? store->HasMask()
                   : part == "support"  ? store->admm.by_support
                   : part == "grouping" ? store->grouping.has_value()
                                        : store->Has(ParseSlot(info[1]));
  return Napi::Boolean::New(info.Env(), has);
}

// void SetGrouping(ParameterStore&, std::optional<Grouping>)
// setStoreGrouping(store: StoreHandle, grouping?: NativeGrouping): void
Napi::Value SetStoreGrouping(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  return Guard(info.Env(), [&] {
    SetGrouping(*store, ParseGrouping(info[1]));
    return info.Env().Undefined();
  });
}

// void DisposeStore(handle)
// disposeStore(store: StoreHandle): void
Napi::Value Dispose(const Napi::CallbackInfo& info) {
  DisposeStore(info[0]);
  return info.Env().Undefined();
}

// StepResult OptimizerStep(ParameterStore&, const StepOptions&)
// optimizerStep(store: StoreHandle, options: NativeStepOptions): NativeStepResult
Napi::Value StepSync(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  const StepOptions options = ParseStepOptions(info[1].As<Napi::Object>());
  return Guard(info.Env(), [&] { return WrapStep(info.Env(), OptimizerStep(*store, options)); });
}

// StepResult OptimizerStep(ParameterStore&, const StepOptions&)
// optimizerStepAsync(store: StoreHandle, options: NativeStepOptions): Promise<NativeStepResult>
Napi::Value StepAsync(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  const StepOptions options = ParseStepOptions(info[1].As<Napi::Object>());
  return Task<StepResult>::Run(
      info, info.Env().Undefined(),
      [store, options](Monitor*) { return OptimizerStep(*store, options); },
      [](Napi::Env env, StepResult& result) { return WrapStep(env, result); });
}

// void UpdateAverage(ParameterStore&, double rate, int threads)
// updateAverage(store: StoreHandle, rate: number, threads: number): void
Napi::Value Average(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  const double rate = info[1].ToNumber().DoubleValue();
  const int threads = info[2].ToNumber().Int32Value();
  return Guard(info.Env(), [&] {
    UpdateAverage(*store, rate, threads, nullptr);
    return info.Env().Undefined();
  });
}

// ProjectResult AdmmProject(ParameterStore&, const ProjectOptions&)
// admmProject(store: StoreHandle, options: NativeProjectOptions): Promise<NativeProjectResult>
Napi::Value Project(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  const ProjectOptions options = ParseProjectOptions(info[1].As<Napi::Object>());
  return Task<ProjectResult>::Run(
      info, info.Env().Undefined(),
      [store, options](Monitor*) { return AdmmProject(*store, options); },
      [](Napi::Env env, ProjectResult& result) { return WrapProject(env, result); });
}

// MaskResult MaskByGroups(ParameterStore&, const ProjectOptions&)
// setMaskByGroups(store: StoreHandle, options: NativeProjectOptions): Promise<NativeMaskResult>
Napi::Value SetMaskByGroups(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  const ProjectOptions options = ParseProjectOptions(info[1].As<Napi::Object>());
  return Task<MaskResult>::Run(
      info, info.Env().Undefined(),
      [store, options](Monitor*) { return MaskByGroups(*store, options); },
      [](Napi::Env env, MaskResult& result) { return WrapMask(env, result); });
}

// AdmmState ParameterStore::admm
// admmState(store: StoreHandle): NativeAdmmState | undefined
Napi::Value GetAdmmState(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto store = UnwrapStore(info[0]);
  const std::scoped_lock lock(store->mutex);
  if (store->admm.thresholds.empty()) return env.Undefined();
  Napi::Array thresholds = Napi::Array::New(env);
  for (const TensorThreshold& threshold : store->admm.thresholds) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("tieBegin", static_cast<double>(threshold.tie_begin));
    object.Set("tieEnd", static_cast<double>(threshold.tie_end));
    object.Set("tieCut", static_cast<double>(threshold.tie_cut));
    thresholds.Set(thresholds.Length(), object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("rho", store->admm.rho);
  object.Set("dual", store->admm.dual);
  object.Set("thresholds", thresholds);
  object.Set("bySupport", store->admm.by_support);
  return object;
}

AdmmState ParseAdmmState(const Napi::Object& object) {
  AdmmState state{GetDouble(object, "rho"), GetDouble(object, "dual"), {}, false};
  if (object.Has("bySupport")) state.by_support = GetBool(object, "bySupport");
  const Napi::Array array = GetArray(object, "thresholds");
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const auto threshold = array.Get(i).As<Napi::Object>();
    TensorThreshold& parsed = state.thresholds.emplace_back();
    parsed.tie_begin = static_cast<uint64_t>(GetInt(threshold, "tieBegin"));
    parsed.tie_end = static_cast<uint64_t>(GetInt(threshold, "tieEnd"));
    parsed.tie_cut = GetInt(threshold, "tieCut");
  }
  return state;
}

// void RestoreAdmm(ParameterStore&, AdmmState), ResetAdmm(ParameterStore&)
// setAdmmState(store: StoreHandle, state?: NativeAdmmState): void
Napi::Value SetAdmmState(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  return Guard(info.Env(), [&] {
    if (info[1].IsObject()) {
      RestoreAdmm(*store, ParseAdmmState(info[1].As<Napi::Object>()));
    } else {
      ResetAdmm(*store);
    }
    return info.Env().Undefined();
  });
}

std::vector<TensorThreshold> ThresholdsOf(const Napi::Value& handle, const ParameterStore& store) {
  std::vector<MaskedTensor> tensors;
  for (const StoreTensor& tensor : store.tensors()) {
    if (tensor.prune) tensors.push_back({DType::kFloat32, tensor.count, nullptr, nullptr});
  }
  return UnwrapSelection(handle, tensors)->selection.tensors;
}

// MaskResult MaskBySupport, MaskBySelection, MaskByZeros, ApplyStoreMask (ParameterStore&, ...)
// setMask(store: StoreHandle, by: SelectionHandle | NativeMaskSource, threads: number):
// NativeMaskResult
Napi::Value SetMask(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  const int threads = info[2].ToNumber().Int32Value();
  return Guard(info.Env(), [&] {
    const auto wrap = [&](const MaskResult& result) { return WrapMask(info.Env(), result); };
    if (!info[1].IsString())
      return wrap(MaskBySelection(*store, ThresholdsOf(info[1], *store), threads));
    const std::string by = info[1].As<Napi::String>().Utf8Value();
    if (by == "support") return wrap(MaskBySupport(*store, threads));
    if (by == "zeros") return wrap(MaskByZeros(*store, threads));
    return wrap(ApplyStoreMask(*store, threads));
  });
}

// void ClearMask(ParameterStore&)
// clearMask(store: StoreHandle): void
Napi::Value Clear(const Napi::CallbackInfo& info) {
  ClearMask(*UnwrapStore(info[0]));
  return info.Env().Undefined();
}

// int64_t RevivedWeights(ParameterStore&)
// revivedWeights(store: StoreHandle): number
Napi::Value Revived(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(RevivedWeights(*UnwrapStore(info[0]))));
}

}  // namespace

void AddOptimizer(Napi::Object exports) {
  auto add = AdderTo(exports);
  add("createStore", CreateStore);
  add("openStore", OpenStore);
  add("storeId", StoreId);
  add("storePrunable", StorePrunable);
  add("storeViews", StoreViews);
  add("storeMaskViews", StoreMaskViews);
  add("storeSupportViews", StoreSupportViews);
  add("storeHas", StoreHas);
  add("setStoreGrouping", SetStoreGrouping);
  add("disposeStore", Dispose);
  add("optimizerStep", StepSync);
  add("optimizerStepAsync", StepAsync);
  add("updateAverage", Average);
  add("admmProject", Project);
  add("admmState", GetAdmmState);
  add("setAdmmState", SetAdmmState);
  add("setMask", SetMask);
  add("setMaskByGroups", SetMaskByGroups);
  add("clearMask", Clear);
  add("revivedWeights", Revived);
}

}  // namespace secateur::binding
