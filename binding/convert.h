// JavaScript values to the library's plain structs and back. The TypeScript side validates for
// users; here a wrong value is a bug of ours, reported as a TypeError that names the field.
#ifndef SECATEUR_BINDING_CONVERT_H_
#define SECATEUR_BINDING_CONVERT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "napi_setup.h"
#include "secateur/error.h"
#include "secateur/mask.h"
#include "secateur/prune_files.h"
#include "secateur/select.h"

namespace secateur::binding {

// Fields of an object. Integers are safe integers (at most 2^53 - 1), never truncated to 32 bits.
int64_t GetInt(const Napi::Object& object, const char* field);
double GetDouble(const Napi::Object& object, const char* field);
bool GetBool(const Napi::Object& object, const char* field);
std::string GetString(const Napi::Object& object, const char* field);
Napi::Array GetArray(const Napi::Object& object, const char* field);

DType ParseDType(const Napi::Object& object);
SelectOptions ParseSelectOptions(const Napi::Object& object);

// Views of the caller's typed arrays; `keep` must hold the array of values as long as they are
// used.
std::vector<MaskedTensor> ParseTensors(const Napi::Array& tensors);
std::vector<double> ParseFactors(const Napi::Array& tensors);

std::vector<FileSourceSpec> ParseSources(const Napi::Array& sources);
std::vector<FileTensor> ParseFileTensors(const Napi::Array& tensors);
PruneJob ParsePruneJob(const Napi::Object& object);

Napi::Array ToArray(Napi::Env env, const std::vector<int64_t>& values);

// An Error of JavaScript's with the code and fields of ours.
Napi::Error ToJsError(Napi::Env env, const Error& error);

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_CONVERT_H_
