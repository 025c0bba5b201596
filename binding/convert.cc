#include "convert.h"

#include <cmath>

#include "groups.h"

namespace secateur::binding {
namespace {

[[noreturn]] void Wrong(const Napi::Object& object, const char* field, const char* expected) {
  throw Napi::TypeError::New(object.Env(), std::string("Expected ") + field + " to be " + expected);
}

FileRange ParseRange(const Napi::Object& object) {
  return {static_cast<int>(GetInt(object, "source")), GetInt(object, "offset"),
          GetInt(object, "bytes")};
}

OutputPiece ParsePiece(const Napi::Object& object) {
  OutputPiece piece;
  const Napi::Value literal = object.Get("literal");
  if (literal.IsTypedArray()) {
    const auto bytes = literal.As<Napi::Uint8Array>();
    piece.literal.assign(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
  } else {
    piece.range = ParseRange(object);
  }
  return piece;
}

template <class Body>
void ForEach(const Napi::Array& array, const Body& body) {
  for (uint32_t i = 0; i < array.Length(); ++i) body(array.Get(i).As<Napi::Object>());
}

}  // namespace

int64_t GetInt(const Napi::Object& object, const char* field) {
  const double value = GetDouble(object, field);
  if (!(std::abs(value) <= 9007199254740991.0) || value != std::trunc(value)) {
    Wrong(object, field, "a safe integer");
  }
  return static_cast<int64_t>(value);
}

double GetDouble(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  if (!value.IsNumber()) Wrong(object, field, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

bool GetBool(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  if (!value.IsBoolean()) Wrong(object, field, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

std::string GetString(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  if (!value.IsString()) Wrong(object, field, "a string");
  return value.As<Napi::String>().Utf8Value();
}

Napi::Array GetArray(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  if (!value.IsArray()) Wrong(object, field, "an array");
  return value.As<Napi::Array>();
}

DType ParseDType(const Napi::Object& object) {
  const std::string name = GetString(object, "dtype");
  if (name == "float32") return DType::kFloat32;
  if (name == "float16") return DType::kFloat16;
  if (name == "bfloat16") return DType::kBFloat16;
  if (name == "float64") return DType::kFloat64;
  Wrong(object, "dtype", "float32, float16, bfloat16 or float64");
}

SelectOptions ParseSelectOptions(const Napi::Object& object) {
  SelectOptions options;
  const Napi::Array ratios = GetArray(object, "ratios");
  for (uint32_t i = 0; i < ratios.Length(); ++i)
    options.ratios.push_back(ratios.Get(i).ToNumber().DoubleValue());
  options.scope = GetString(object, "scope") == "layer" ? Scope::kLayer : Scope::kGlobal;
  options.min_keep = GetDouble(object, "minKeep");
  options.threads = static_cast<int>(GetInt(object, "threads"));
  options.allow_nonfinite = GetBool(object, "allowNonfinite");
  return options;
}

std::vector<MaskedTensor> ParseTensors(const Napi::Array& tensors) {
  std::vector<MaskedTensor> parsed;
  ForEach(tensors, [&](const Napi::Object& object) {
    const Napi::Value data = object.Get("data");
    if (!data.IsTypedArray()) Wrong(object, "data", "a typed array");
    const auto array = data.As<Napi::TypedArray>();
    auto* bytes = static_cast<std::byte*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    const DType dtype = ParseDType(object);
    parsed.push_back(
        {dtype, static_cast<int64_t>(array.ByteLength()) / ElementBytes(dtype), bytes, bytes});
  });
  return parsed;
}

std::vector<double> ParseFactors(const Napi::Array& tensors) {
  std::vector<double> factors;
  ForEach(tensors,
          [&](const Napi::Object& object) { factors.push_back(GetDouble(object, "factor")); });
  return factors;
}

std::vector<FileSourceSpec> ParseSources(const Napi::Array& sources) {
  std::vector<FileSourceSpec> parsed;
  ForEach(sources, [&](const Napi::Object& object) {
    parsed.push_back({GetString(object, "path"), GetInt(object, "size")});
  });
  return parsed;
}

std::vector<FileTensor> ParseFileTensors(const Napi::Array& tensors) {
  std::vector<FileTensor> parsed;
  ForEach(tensors, [&](const Napi::Object& object) {
    FileTensor& tensor = parsed.emplace_back();
    tensor.name = GetString(object, "name");
    tensor.dtype = ParseDType(object);
    tensor.factor = GetDouble(object, "factor");
    tensor.encoding =
        GetString(object, "encoding") == "varint" ? Encoding::kVarint : Encoding::kFlat;
    tensor.count = GetInt(object, "weights");
    ForEach(GetArray(object, "runs"),
            [&](const Napi::Object& run) { tensor.runs.push_back(ParseRange(run)); });
  });
  return parsed;
}

PruneJob ParsePruneJob(const Napi::Object& object) {
  PruneJob job;
  job.sources = ParseSources(GetArray(object, "sources"));
  job.tensors = ParseFileTensors(GetArray(object, "tensors"));
  job.select = ParseSelectOptions(object.Get("select").As<Napi::Object>());
  job.grouping = ParseGrouping(object.Get("grouping"));
  ForEach(GetArray(object, "outputs"), [&](const Napi::Object& output) {
    OutputSpec& spec = job.outputs.emplace_back();
    spec.path = GetString(output, "path");
    ForEach(GetArray(output, "pieces"),
            [&](const Napi::Object& piece) { spec.pieces.push_back(ParsePiece(piece)); });
  });
  return job;
}

Napi::Array ToArray(Napi::Env env, const std::vector<int64_t>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, static_cast<double>(values[i]));
  return array;
}

Napi::Error ToJsError(Napi::Env env, const Error& error) {
  Napi::Error js = Napi::Error::New(env, error.what());
  Napi::Object object = js.Value();
  object.Set("code", error.code());
  if (!error.path().empty()) object.Set("path", error.path());
  if (!error.tensor().empty()) object.Set("tensor", error.tensor());
  if (error.index() >= 0) object.Set("index", static_cast<double>(error.index()));
  if (!error.errno_name().empty()) object.Set("errno", error.errno_name());
  return js;
}

}  // namespace secateur::binding
