#include "secateur/mask.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "core/chunks.h"
#include "core/key_buffer.h"
#include "core/parallel.h"

namespace secateur {
namespace {

const Backend& BackendOf(const MaskOptions& options) {
  return options.backend ? *options.backend : ActiveBackend();
}

// Calls body(tensor, first element, count) for stretches of all tensors, in parallel. Stretches
// begin at multiples of 64 elements.
template <class Body>
void ForStretches(const std::vector<MaskedTensor>& tensors, const MaskOptions& options,
                  const Body& body) {
  std::vector<Chunk> stretches;
  int64_t bytes = 0;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const int64_t element = ElementBytes(tensors[t].dtype);
    for (int64_t first = 0; first < tensors[t].count; first += kChunkBytes / element) {
      const int64_t count = std::min(kChunkBytes / element, tensors[t].count - first);
      stretches.push_back({static_cast<int>(t), nullptr, 0, first, count});
    }
    bytes += tensors[t].count * element;
  }
  ParallelFor(ThreadsFor(bytes, options.threads), static_cast<int64_t>(stretches.size()),
              [&](int64_t i, int) {
                if (options.monitor) options.monitor->ThrowIfCancelled();
                body(stretches[i].tensor, stretches[i].first, stretches[i].count);
              });
}

template <class Key>
int64_t MaskKeys(const Kernels<Key>& kernels, const TensorThreshold& threshold, int64_t first,
                 const std::byte* in, std::byte* out, int64_t count) {
  // Before the cut ties stay, after it they go.
  const int64_t before = std::clamp<int64_t>(threshold.tie_cut - first, 0, count);
  const int64_t bytes = before * static_cast<int64_t>(sizeof(Key));
  const int64_t zeros = kernels.mask(in, out, before, static_cast<Key>(threshold.tie_begin));
  return zeros +
         kernels.mask(in + bytes, out + bytes, count - before, static_cast<Key>(threshold.tie_end));
}

template <class Key>
bool Keeps(const TensorThreshold& threshold, const std::byte* in, int64_t offset, int64_t index) {
  Key bits;
  std::memcpy(&bits, in + offset * static_cast<int64_t>(sizeof(Key)), sizeof(Key));
  const uint64_t key = bits & static_cast<Key>(static_cast<Key>(~Key{0}) >> 1);
  return key >= threshold.tie_end || (key >= threshold.tie_begin && index < threshold.tie_cut);
}

// Whole words of 64 weights on one side of the cut go through the kernel, the rest weight by
// weight.
template <class Key>
void PackKeys(const Kernels<Key>& kernels, const TensorThreshold& threshold, int64_t first,
              const std::byte* in, uint8_t* bits, int64_t count) {
  const auto one_by_one = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (Keeps<Key>(threshold, in, i, first + i))
        bits[i / 8] |= static_cast<uint8_t>(1 << (i % 8));
    }
  };
  const auto in_words = [&](int64_t begin, int64_t end, uint64_t bound) {
    kernels.pack(in + begin * static_cast<int64_t>(sizeof(Key)), bits + begin / 8, end - begin,
                 static_cast<Key>(bound));
  };
  const int64_t whole = count / 64 * 64;
  const int64_t cut = std::clamp<int64_t>(threshold.tie_cut - first, 0, whole);
  const int64_t before = cut / 64 * 64;
  const int64_t after = std::min((cut + 63) / 64 * 64, whole);
  std::memset(bits, 0, static_cast<size_t>((count + 7) / 8));
  in_words(0, before, threshold.tie_begin);
  one_by_one(before, after);
  in_words(after, whole, threshold.tie_end);
  one_by_one(whole, count);
}

}  // namespace

int64_t MaskStretch(const Backend& backend, DType dtype, const TensorThreshold& threshold,
                    int64_t first, const std::byte* in, std::byte* out, int64_t count) {
  return WithKeyType(ElementBytes(dtype), [&](auto type) {
    return MaskKeys(backend.For<decltype(type)>(), threshold, first, in, out, count);
  });
}

int64_t ZerosInStretch(const Backend& backend, DType dtype, const std::byte* in, int64_t count) {
  return WithKeyType(ElementBytes(dtype), [&](auto type) {
    using Key = decltype(type);
    const Key one = 1;
    int64_t nonzero = 0;
    backend.For<Key>().classify(in, count, {&one, 1, 0}, &nonzero, nullptr);
    return count - nonzero;
  });
}

std::vector<int64_t> ApplyMask(const std::vector<MaskedTensor>& tensors,
                               const std::vector<TensorThreshold>& thresholds,
                               const MaskOptions& options) {
  std::vector<std::atomic<int64_t>> zeros(tensors.size());
  ForStretches(tensors, options, [&](int t, int64_t first, int64_t count) {
    const MaskedTensor& tensor = tensors[t];
    const int64_t offset = first * ElementBytes(tensor.dtype);
    zeros[t] += MaskStretch(BackendOf(options), tensor.dtype, thresholds[t], first,
                            tensor.in + offset, tensor.out + offset, count);
  });
  return {zeros.begin(), zeros.end()};
}

void PackMask(const std::vector<MaskedTensor>& tensors,
              const std::vector<TensorThreshold>& thresholds, const std::vector<uint8_t*>& out,
              const MaskOptions& options) {
  ForStretches(tensors, options, [&](int t, int64_t first, int64_t count) {
    const int64_t element = ElementBytes(tensors[t].dtype);
    WithKeyType(element, [&](auto type) {
      PackKeys(BackendOf(options).For<decltype(type)>(), thresholds[t], first,
               tensors[t].in + first * element, out[t] + first / 8, count);
    });
  });
}

std::vector<int64_t> CountZeros(const std::vector<MaskedTensor>& tensors,
                                const MaskOptions& options) {
  std::vector<std::atomic<int64_t>> zeros(tensors.size());
  ForStretches(tensors, options, [&](int t, int64_t first, int64_t count) {
    const std::byte* in = tensors[t].in + first * ElementBytes(tensors[t].dtype);
    zeros[t] += ZerosInStretch(BackendOf(options), tensors[t].dtype, in, count);
  });
  return {zeros.begin(), zeros.end()};
}

}  // namespace secateur
