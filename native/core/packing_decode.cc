// Unpacking, in parallel by stretches of positions: the first look says where each stretch begins
// and which value is its first, the second writes. Everything is checked: the streams come from
// files.
#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "core/half.h"
#include "core/key_buffer.h"
#include "core/parallel.h"
#include "secateur/packing.h"

namespace secateur {
namespace {

constexpr int64_t kStretchBytes = int64_t{64} << 10;  // of positions

[[noreturn]] void ThrowUnsound(const std::string& expected) {
  throw Error("INVALID_MODEL", "Expected packed weights to " + expected);
}

int64_t ValueBytes(const PackedView& view) {
  if (view.form == ValueForm::kSame) return view.element_bytes;
  return view.form == ValueForm::kFloat16 ? 2 : 1;
}

// What a stretch does to position and value.
struct Step {
  int64_t elements = 0;
  int64_t values = 0;
};

// Reads the value of an index as `Element`.
template <class Element, ValueForm kForm>
class ValueReader {
 public:
  explicit ValueReader(const PackedView& view)
      : bytes_(view.value_bytes.data()), codebook_(view.codebook) {}

  Element operator()(int64_t index) const {
    if constexpr (kForm == ValueForm::kSame) {
      return At<Element>(index);
    } else if constexpr (kForm == ValueForm::kFloat16) {
      return HalfToFloat(At<uint16_t>(index));
    } else {
      const auto entry = At<uint8_t>(index);
      if (entry < codebook_.size()) return codebook_[entry];
      ThrowUnsound("name entries of their codebook of " + std::to_string(codebook_.size()) +
                   ", got " + std::to_string(entry));
    }
  }

 private:
  template <class Stored>
  Stored At(int64_t index) const {
    Stored value;
    std::memcpy(&value, bytes_ + index * static_cast<int64_t>(sizeof(Stored)), sizeof(Stored));
    return value;
  }

  const std::byte* bytes_;
  std::span<const float> codebook_;
};

template <class Element, ValueForm kForm>
class Decoder {
 public:
  Decoder(const PackedView& view, std::byte* out, const PackingOptions& options)
      : view_(view), out_(out), options_(options), value_(view), values_(Values(view)) {}

  void Decode() const {
    if (view_.positions == Positions::kAll) return DecodeAll();
    if (view_.positions == Positions::kIndices) ThrowUnsound("have a mask or gaps");
    const auto bytes = static_cast<int64_t>(view_.position_bytes.size());
    const bool mask = view_.positions == Positions::kMask;
    if (mask && view_.count != 8 * bytes)
      ThrowUnsound("have a mask of " + std::to_string(view_.count) + " bits, got " +
                   std::to_string(8 * bytes));
    std::vector<Step> steps(static_cast<size_t>((bytes + kStretchBytes - 1) / kStretchBytes));
    ForStretches(steps, [&](int64_t i) { steps[i] = mask ? MaskStep(i) : GapStep(i); });
    CheckSteps(steps);
    ForStretches(steps, [&](int64_t i) { mask ? PutMasked(i, steps[i]) : PutGaps(i, steps[i]); });
  }

 private:
  static int64_t Values(const PackedView& view) {
    const auto bytes = static_cast<int64_t>(view.value_bytes.size());
    const int64_t each = ValueBytes(view);
    if (bytes % each != 0) ThrowUnsound("have whole values");
    return bytes / each;
  }

  // Turns the steps of stretches into where they begin.
  void CheckSteps(std::vector<Step>& steps) const {
    Step sum;
    for (Step& step : steps) {
      const Step start = sum;
      sum.elements += step.elements;
      sum.values += step.values;
      step = start;
    }
    if (sum.elements > view_.count)
      ThrowUnsound("lie in " + std::to_string(view_.count) + " elements, got one before them");
    if (sum.values != values_ - 1) {
      ThrowUnsound("have a zero and a value for each of " + std::to_string(sum.values) +
                   " positions, got " + std::to_string(values_));
    }
    if (value_(0) != 0) ThrowUnsound("have 0 as their first value");
  }

  template <class Steps, class Body>
  void ForStretches(const Steps& steps, const Body& body) const {
    const int threads = ThreadsFor(view_.count * view_.element_bytes, options_.threads);
    ParallelFor(threads, static_cast<int64_t>(steps.size()), [&](int64_t i, int) {
      if (options_.monitor) options_.monitor->ThrowIfCancelled();
      body(i);
    });
  }

  std::span<const std::byte> Stretch(int64_t i) const {
    const auto rest = view_.position_bytes.subspan(static_cast<size_t>(i * kStretchBytes));
    return rest.first(std::min(rest.size(), static_cast<size_t>(kStretchBytes)));
  }

  void DecodeAll() const {
    if (values_ != view_.count)
      ThrowUnsound("have " + std::to_string(view_.count) + " values, got " +
                   std::to_string(values_));
    const std::vector<Step> pieces(
        static_cast<size_t>((values_ + kStretchBytes - 1) / kStretchBytes));
    ForStretches(pieces, [&](int64_t piece) {
      const int64_t end = std::min(values_, (piece + 1) * kStretchBytes);
      for (int64_t i = piece * kStretchBytes; i < end; ++i) Put(i, i);
    });
  }

  Step MaskStep(int64_t i) const {
    Step step;
    for (std::byte bits : Stretch(i)) step.values += std::popcount(static_cast<uint8_t>(bits));
    return step;
  }

  void PutMasked(int64_t i, const Step& from) const {
    int64_t at = i * kStretchBytes * 8;
    int64_t value = from.values + 1;
    for (std::byte bits : Stretch(i)) {
      for (auto rest = static_cast<unsigned>(bits); rest != 0; rest &= rest - 1)
        Put(value++, at + std::countr_zero(rest));
      at += 8;
    }
  }

  // Calls body(code, filler) for each code of a stretch.
  template <class Body>
  void ForCodes(int64_t i, const Body& body) const {
    if (view_.positions == Positions::kGaps8) {
      for (std::byte code : Stretch(i)) body(static_cast<int64_t>(code), kGapCode8.filler);
      return;
    }
    for (std::byte codes : Stretch(i)) {
      body(static_cast<int64_t>(codes) & 15, kGapCode4.filler);
      body(static_cast<int64_t>(codes) >> 4, kGapCode4.filler);
    }
  }

  Step GapStep(int64_t i) const {
    Step step;
    ForCodes(i, [&](int64_t code, int64_t filler) {
      const int64_t value = code < filler ? 1 : 0;
      step.elements += code + value;
      step.values += value;
    });
    return step;
  }

  void PutGaps(int64_t i, const Step& from) const {
    int64_t at = view_.count - from.elements;
    int64_t value = from.values + 1;
    ForCodes(i, [&](int64_t code, int64_t filler) {
      at -= code < filler ? code + 1 : filler;
      if (code < filler) Put(value++, at);
    });
  }

  void Put(int64_t value, int64_t at) const {
    const Element element = value_(value);
    std::memcpy(out_ + at * static_cast<int64_t>(sizeof(Element)), &element, sizeof(Element));
  }

  const PackedView& view_;
  std::byte* out_;
  const PackingOptions& options_;
  const ValueReader<Element, kForm> value_;
  const int64_t values_;
};

}  // namespace

void DecodePacked(const PackedView& view, std::byte* out, const PackingOptions& options) {
  if (view.form == ValueForm::kFloat16) {
    Decoder<float, ValueForm::kFloat16>(view, out, options).Decode();
  } else if (view.form == ValueForm::kCodebook) {
    Decoder<float, ValueForm::kCodebook>(view, out, options).Decode();
  } else {
    WithKeyType(view.element_bytes, [&](auto key) {
      Decoder<decltype(key), ValueForm::kSame>(view, out, options).Decode();
    });
  }
}

}  // namespace secateur
