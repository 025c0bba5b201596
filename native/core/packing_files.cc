// Packing tensors where they lie in files.
#include "core/open_files.h"
#include "secateur/packing.h"

namespace secateur {
namespace {

template <class Call>
auto WithOpen(const FileTensors& files, const Call& call) {
  const OpenFiles open(files.sources, files.tensors);
  auto result = call(open.tensors());
  open.CheckUnchanged();
  return result;
}

}  // namespace

std::vector<PackingSizes> MeasurePacking(const FileTensors& files, const PackingOptions& options) {
  return WithOpen(files, [&](const auto& tensors) { return MeasurePacking(tensors, options); });
}

PackedStream EncodePacked(const FileTensors& files, Positions positions, ValueForm form,
                          std::span<const float> codebook, const PackingOptions& options) {
  return WithOpen(files, [&](const auto& tensors) {
    return EncodePacked(tensors, positions, form, codebook, options);
  });
}

std::vector<float> MakeCodebook(const FileTensors& files, const PackingOptions& options) {
  return WithOpen(files, [&](const auto& tensors) { return MakeCodebook(tensors, options); });
}

}  // namespace secateur
