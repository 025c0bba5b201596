// Two reads: the first finds the non-zero weights of every chunk, which tells where each chunk's
// codes and values go; the second writes them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/codebook.h"
#include "core/half.h"
#include "core/key_buffer.h"
#include "core/nonzeros.h"

namespace secateur {
namespace {

bool HasGaps(Positions positions) {
  return positions == Positions::kGaps8 || positions == Positions::kGaps4;
}

bool HasExtraZero(Positions positions) {
  return positions != Positions::kAll && positions != Positions::kIndices;
}

int64_t ValueBytes(ValueForm form, DType dtype) {
  if (form == ValueForm::kSame) return ElementBytes(dtype);
  return form == ValueForm::kFloat16 ? 2 : 1;
}

// What is known of a chunk after the first read.
struct Place {
  int64_t first = 0;  // position of the chunk's first element in the sequence
  int64_t value = 0;  // index of its first value to write
  int64_t code = 0;   // index of its first code
  int64_t codes = 0;  // gaps: of the distances inside it
  int64_t next = 0;   // gaps: the position of the value after the chunk, or the end
};

class Encoder {
 public:
  Encoder(const std::vector<Tensor>& tensors, Positions positions, ValueForm form,
          std::span<const float> codebook, const PackingOptions& options)
      : tensors_(tensors),
        positions_(positions),
        form_(form),
        codebook_(codebook),
        options_(options),
        chunks_(MakeChunks(tensors)),
        bits_(chunks_.size()),
        places_(chunks_.size()),
        errors_(chunks_.size()) {
    for (const Tensor& tensor : tensors) {
      const bool fits = tensor.dtype == tensors[0].dtype &&
                        (form == ValueForm::kSame || tensor.dtype == DType::kFloat32);
      if (!fits) throw Error("INTERNAL", "Tensors of unfit types to be packed together");
      length_ += tensor.count;
    }
    const bool sound = !codebook.empty() && codebook.size() <= size_t{kCodebookEntries};
    if (form == ValueForm::kCodebook) {
      if (!sound) throw Error("INTERNAL", "A codebook of no or too many entries");
      quantizer_.emplace(codebook);
    }
    if (!tensors.empty()) dtype_ = tensors[0].dtype;
  }

  PackedStream Encode() {
    if (options_.monitor) options_.monitor->Begin(Phase::kWrite, 2 * TotalBytes(tensors_));
    FindBits();
    HasGaps(positions_) ? PlaceBackward() : PlaceForward();
    stream_.values.resize(
        static_cast<size_t>((values_ + HasExtraZero(positions_)) * ValueBytes(form_, dtype_)));
    codes_.resize(static_cast<size_t>(code_count_));
    Write();
    PackPositions();
    SumErrors();
    return std::move(stream_);
  }

 private:
  void FindBits() {
    const Backend& backend = options_.backend ? *options_.backend : ActiveBackend();
    ForChunks(tensors_, chunks_, options_,
              [&](int64_t i, const Chunk& chunk, const std::byte* weights) {
                FindNonzeros(backend, weights, chunk.count, ElementBytes(dtype_), bits_[i]);
                if (HasGaps(positions_)) places_[i].codes = CodesInside(bits_[i]);
              });
    int64_t first = 0;
    for (size_t i = 0; i < chunks_.size(); ++i) {
      places_[i].first = std::exchange(first, first + chunks_[i].count);
      stream_.nonzeros += bits_[i].nonzeros;
    }
  }

  void PlaceForward() {
    int64_t values = 0;
    for (size_t i = 0; i < chunks_.size(); ++i) {
      const bool all = positions_ == Positions::kAll;
      places_[i].value =
          std::exchange(values, values + (all ? chunks_[i].count : bits_[i].nonzeros));
    }
    values_ = values;
  }

  void PlaceBackward() {
    int64_t next = length_;
    for (size_t i = chunks_.size(); i-- > 0;) {
      Place& place = places_[i];
      place.next = next;
      place.value = std::exchange(values_, values_ + bits_[i].nonzeros);
      place.code = code_count_;
      if (bits_[i].nonzeros == 0) continue;
      code_count_ += place.codes + Code().CodesOf(next - (place.first + bits_[i].last));
      next = place.first + bits_[i].first;
    }
  }

  // Codes of the distances between the values of one chunk.
  int64_t CodesInside(const ChunkBits& bits) const {
    const GapCode code = Code();
    int64_t codes = 0;
    int64_t before = -1;
    ForNonzeros(bits, [&](int64_t at) {
      if (before >= 0) codes += code.CodesOf(at - before);
      before = at;
    });
    return codes;
  }

  // One loop a form, so that the compiler sees the width of a value.
  void Write() {
    if (form_ == ValueForm::kFloat16) {
      WriteValues<float>([](float value, std::byte* out) {
        const uint16_t half = FloatToHalf(value);
        std::memcpy(out, &half, sizeof(half));
        return HalfToFloat(half);
      });
    } else if (form_ == ValueForm::kCodebook) {
      WriteValues<float>([this](float value, std::byte* out) {
        const int entry = value == 0 ? -1 : quantizer_->Nearest(value);
        *out = static_cast<std::byte>(entry + 1);
        return entry < 0 ? 0.0F : codebook_[entry];
      });
    } else {
      WithKeyType(ElementBytes(dtype_), [&](auto key) {
        WriteValues<decltype(key)>([](auto value, std::byte* out) {
          std::memcpy(out, &value, sizeof(value));
          return value;
        });
      });
    }
  }

  // convert(value, out) writes one value and returns what it stands for now.
  template <class Value, class Convert>
  void WriteValues(const Convert& convert) {
    const int64_t bytes = ValueBytes(form_, dtype_);
    ForChunks(
        tensors_, chunks_, options_, [&](int64_t i, const Chunk& chunk, const std::byte* weights) {
          const int64_t first = places_[i].value + HasExtraZero(positions_);
          std::byte* out = stream_.values.data() + first * bytes;
          ValueError error;
          const auto put = [&](int64_t at) {
            Value value;
            std::memcpy(&value, weights + at * static_cast<int64_t>(sizeof(Value)), sizeof(Value));
            const Value written = convert(value, out);
            out += bytes;
            if constexpr (std::is_same_v<Value, float>) {
              const double difference = std::abs(double{written} - double{value});
              error.largest = std::max(error.largest, difference);
              error.sum += difference;
            }
          };
          ForValues(i, chunk, put);
          errors_[i] = error;
        });
  }

  template <class Put>
  void ForValues(int64_t i, const Chunk& chunk, const Put& put) {
    if (HasGaps(positions_)) {
      ForNonzerosBackward(bits_[i], put);
      WriteCodes(bits_[i], places_[i]);
    } else if (positions_ == Positions::kAll) {
      for (int64_t at = 0; at < chunk.count; ++at) put(at);
    } else {
      ForNonzeros(bits_[i], put);
    }
  }

  void WriteCodes(const ChunkBits& bits, const Place& place) {
    const auto filler = static_cast<uint8_t>(Code().filler);
    uint8_t* out = codes_.data() + place.code;
    int64_t next = place.next;
    ForNonzerosBackward(bits, [&](int64_t at) {
      int64_t distance = next - (place.first + at);
      for (; distance > filler; distance -= filler) *out++ = filler;
      *out++ = static_cast<uint8_t>(distance - 1);
      next = place.first + at;
    });
  }

  GapCode Code() const { return positions_ == Positions::kGaps4 ? kGapCode4 : kGapCode8; }

  void PackPositions() {
    if (positions_ == Positions::kMask) return PackMask();
    if (positions_ == Positions::kIndices) return PackIndices();
    if (positions_ == Positions::kGaps8) {
      stream_.positions.resize(codes_.size());
      if (!codes_.empty()) std::memcpy(stream_.positions.data(), codes_.data(), codes_.size());
    }
    if (positions_ == Positions::kGaps4) {
      stream_.padded = codes_.size() % 2 != 0;
      if (stream_.padded) codes_.push_back(static_cast<uint8_t>(kGapCode4.filler));
      stream_.positions.resize(codes_.size() / 2);
      for (size_t i = 0; i < stream_.positions.size(); ++i)
        stream_.positions[i] = static_cast<std::byte>(codes_[2 * i] | codes_[2 * i + 1] << 4);
    }
  }

  // Chunks begin at any bit.
  void PackMask() {
    std::vector<uint64_t> words(static_cast<size_t>((length_ + 63) / 64) + 1, 0);
    for (size_t i = 0; i < chunks_.size(); ++i) {
      auto word = static_cast<size_t>(places_[i].first / 64);
      const auto shift = static_cast<int>(places_[i].first % 64);
      for (uint64_t bits : bits_[i].words) {
        words[word++] |= bits << shift;
        if (shift != 0 && (bits >> (64 - shift)) != 0) words[word] |= bits >> (64 - shift);
      }
    }
    stream_.positions.resize(static_cast<size_t>((length_ + 7) / 8));
    if (length_ > 0) std::memcpy(stream_.positions.data(), words.data(), stream_.positions.size());
  }

  void PackIndices() {
    for (size_t i = 0; i < chunks_.size(); ++i) {
      ForNonzeros(bits_[i], [&](int64_t at) {
        auto rest = static_cast<uint64_t>(places_[i].first + at);
        for (; rest >= 0x80; rest >>= 7)
          stream_.positions.push_back(static_cast<std::byte>(rest | 0x80));
        stream_.positions.push_back(static_cast<std::byte>(rest));
      });
    }
  }

  void SumErrors() {
    stream_.errors.resize(tensors_.size());
    for (size_t i = 0; i < chunks_.size(); ++i) {
      ValueError& error = stream_.errors[chunks_[i].tensor];
      error.largest = std::max(error.largest, errors_[i].largest);
      error.sum += errors_[i].sum;
    }
  }

  const std::vector<Tensor>& tensors_;
  const Positions positions_;
  const ValueForm form_;
  const std::span<const float> codebook_;
  const PackingOptions& options_;
  const std::vector<Chunk> chunks_;
  std::vector<ChunkBits> bits_;
  std::vector<Place> places_;
  std::vector<ValueError> errors_;
  std::vector<uint8_t> codes_;  // a byte each
  std::optional<Quantizer> quantizer_;
  DType dtype_ = DType::kFloat32;
  int64_t length_ = 0;
  int64_t values_ = 0;
  int64_t code_count_ = 0;
  PackedStream stream_;
};

}  // namespace

PackedStream EncodePacked(const std::vector<Tensor>& tensors, Positions positions, ValueForm form,
                          std::span<const float> codebook, const PackingOptions& options) {
  return Encoder(tensors, positions, form, codebook, options).Encode();
}

}  // namespace secateur
