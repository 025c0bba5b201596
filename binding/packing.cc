#include "packing.h"

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "convert.h"
#include "exports.h"
#include "secateur/packing.h"
#include "task.h"

namespace secateur::binding {
namespace {

FileTensors ParseFiles(const Napi::Value& value) {
  const auto job = value.As<Napi::Object>();
  return {ParseSources(GetArray(job, "sources")), ParseFileTensors(GetArray(job, "tensors"))};
}

Positions ParsePositions(const Napi::Object& object) {
  const std::string name = GetString(object, "positions");
  if (name == "all") return Positions::kAll;
  if (name == "gaps8") return Positions::kGaps8;
  if (name == "gaps4") return Positions::kGaps4;
  return name == "mask" ? Positions::kMask : Positions::kIndices;
}

ValueForm ParseForm(const Napi::Object& object) {
  const std::string name = GetString(object, "form");
  if (name == "same") return ValueForm::kSame;
  return name == "float16" ? ValueForm::kFloat16 : ValueForm::kCodebook;
}

std::span<const std::byte> BytesOf(const Napi::Object& object, const char* field) {
  const auto array = object.Get(field).As<Napi::Uint8Array>();
  return std::as_bytes(std::span(array.Data(), array.ByteLength()));
}

std::span<const float> CodebookOf(const Napi::Object& object) {
  const auto array = object.Get("codebook").As<Napi::Float32Array>();
  return {array.Data(), array.ElementLength()};
}

Napi::Value ToBytes(Napi::Env env, const std::vector<std::byte>& bytes) {
  auto array = Napi::Uint8Array::New(env, bytes.size());
  if (!bytes.empty()) std::memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

PackingOptions ParseThreads(const Napi::Value& threads) {
  return {threads.As<Napi::Number>().Int32Value(), nullptr, nullptr};
}

// std::vector<PackingSizes> MeasurePacking(const FileTensors&, const PackingOptions&)
// measurePacking(job: NativePackingJob, threads: number, control?: NativeControl):
// Promise<NativePackingSizes[]>
Napi::Value MeasurePackingAsync(const Napi::CallbackInfo& info) {
  const FileTensors files = ParseFiles(info[0]);
  PackingOptions options = ParseThreads(info[1]);
  return Task<std::vector<PackingSizes>>::Run(
      info, info[2],
      [files, options](Monitor* monitor) mutable {
        options.monitor = monitor;
        return MeasurePacking(files, options);
      },
      [](Napi::Env env, std::vector<PackingSizes>& sizes) -> Napi::Value {
        Napi::Array array = Napi::Array::New(env, sizes.size());
        for (uint32_t i = 0; i < sizes.size(); ++i) {
          Napi::Object object = Napi::Object::New(env);
          object.Set("nonzeros", static_cast<double>(sizes[i].nonzeros));
          object.Set("codes8", static_cast<double>(sizes[i].codes8));
          object.Set("codes4", static_cast<double>(sizes[i].codes4));
          object.Set("indexBytes", static_cast<double>(sizes[i].index_bytes));
          object.Set("largest", sizes[i].largest);
          array.Set(i, object);
        }
        return array;
      });
}

// std::vector<float> MakeCodebook(const FileTensors&, const PackingOptions&)
// makeCodebook(job: NativePackingJob, threads: number, control?: NativeControl):
// Promise<Float32Array>
Napi::Value MakeCodebookAsync(const Napi::CallbackInfo& info) {
  const FileTensors files = ParseFiles(info[0]);
  PackingOptions options = ParseThreads(info[1]);
  return Task<std::vector<float>>::Run(
      info, info[2],
      [files, options](Monitor* monitor) mutable {
        options.monitor = monitor;
        return MakeCodebook(files, options);
      },
      [](Napi::Env env, std::vector<float>& entries) -> Napi::Value {
        auto array = Napi::Float32Array::New(env, entries.size());
        for (size_t i = 0; i < entries.size(); ++i) array[i] = entries[i];
        return array;
      });
}

Napi::Value WrapStream(Napi::Env env, const PackedStream& stream) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("positions", ToBytes(env, stream.positions));
  object.Set("values", ToBytes(env, stream.values));
  object.Set("nonzeros", static_cast<double>(stream.nonzeros));
  object.Set("padded", stream.padded);
  Napi::Array errors = Napi::Array::New(env, stream.errors.size());
  for (uint32_t i = 0; i < stream.errors.size(); ++i) {
    Napi::Object error = Napi::Object::New(env);
    error.Set("largest", stream.errors[i].largest);
    error.Set("sum", stream.errors[i].sum);
    errors.Set(i, error);
  }
  object.Set("errors", errors);
  return object;
}

// PackedStream EncodePacked(const FileTensors&, Positions, ValueForm, std::span<const float>, ...)
// encodePacked(job: NativePackingJob, into: NativePackedForm, threads: number,
// control?: NativeControl): Promise<NativePackedStream>
Napi::Value EncodePackedAsync(const Napi::CallbackInfo& info) {
  const FileTensors files = ParseFiles(info[0]);
  const auto into = info[1].As<Napi::Object>();
  const Positions positions = ParsePositions(into);
  const ValueForm form = ParseForm(into);
  const std::span<const float> codebook = CodebookOf(into);
  PackingOptions options = ParseThreads(info[2]);
  return Task<PackedStream>::Run(
      info, info[3],
      [=](Monitor* monitor) mutable {
        options.monitor = monitor;
        return EncodePacked(files, positions, form, codebook, options);
      },
      [](Napi::Env env, PackedStream& stream) { return WrapStream(env, stream); });
}

// void DecodePacked(const PackedView&, std::byte* out, const PackingOptions&)
// decodePacked(stream: NativePackedView, out: Uint8Array, threads: number): Promise<void>
Napi::Value DecodePackedAsync(const Napi::CallbackInfo& info) {
  const auto stream = info[0].As<Napi::Object>();
  auto out = info[1].As<Napi::Uint8Array>();
  PackedView view{ParsePositions(stream),
                  ParseForm(stream),
                  GetInt(stream, "elementBytes"),
                  0,
                  BytesOf(stream, "positionBytes"),
                  BytesOf(stream, "valueBytes"),
                  CodebookOf(stream)};
  view.count = static_cast<int64_t>(out.ByteLength()) / view.element_bytes;
  auto* bytes = reinterpret_cast<std::byte*>(out.Data());
  const PackingOptions options = ParseThreads(info[2]);
  return Task<bool>::Run(
      info, info.Env().Undefined(),
      [view, bytes, options](Monitor*) {
        DecodePacked(view, bytes, options);
        return true;
      },
      [](Napi::Env env, bool&) { return env.Undefined(); });
}

}  // namespace

void AddPacking(Napi::Object exports) {
  auto add = AdderTo(exports);
  add("measurePacking", MeasurePackingAsync);
  add("makeCodebook", MakeCodebookAsync);
  add("encodePacked", EncodePackedAsync);
  add("decodePacked", DecodePackedAsync);
}

}  // namespace secateur::binding
