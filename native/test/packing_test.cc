// Packing against plain loops: streams read back by a decoder written from docs/pack.md, every
// backend and number of threads alike, rounding, codebooks, and streams that nobody has checked.
#include "secateur/packing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "core/codebook.h"
#include "core/half.h"
#include "data.h"
#include "test.h"

namespace secateur::test {
namespace {

constexpr Positions kAllPositions[] = {Positions::kAll, Positions::kGaps8, Positions::kGaps4,
                                       Positions::kMask, Positions::kIndices};

// About one in `every` is a value; zeros of both signs among the others.
std::vector<float> SparseFloats(int64_t count, int every, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    if (random() % static_cast<uint32_t>(every) == 0)
      value = normal(random);
    else if (random() % 64 == 0)
      value = -0.0F;
  }
  return values;
}

// Tensors in memory, cut into runs of odd lengths, so that chunks begin anywhere.
struct Memory {
  std::vector<std::vector<float>> data;
  std::vector<MemorySource> sources;
  std::vector<Tensor> tensors;

  explicit Memory(std::vector<std::vector<float>> values, int64_t run = int64_t{1} << 40)
      : data(std::move(values)) {
    for (std::vector<float>& one : data)
      sources.emplace_back(reinterpret_cast<std::byte*>(one.data()));
    for (size_t t = 0; t < data.size(); ++t) {
      const auto count = static_cast<int64_t>(data[t].size());
      Tensor tensor{"t" + std::to_string(t), DType::kFloat32, 1, count, {}};
      for (int64_t at = 0; at < count; at += run)
        tensor.runs.push_back({&sources[t], at * 4, std::min(run, count - at) * 4});
      tensors.push_back(tensor);
    }
  }

  std::vector<float> Sequence() const {
    std::vector<float> all;
    for (const std::vector<float>& one : data) all.insert(all.end(), one.begin(), one.end());
    return all;
  }
};

uint32_t Bits(float value) { return std::bit_cast<uint32_t>(value); }

// Value number to position, as the format's description says.
std::vector<int64_t> PositionsOf(const std::vector<std::byte>& bytes, Positions positions,
                                 int64_t count) {
  std::vector<int64_t> found;
  if (positions == Positions::kMask) {
    for (int64_t i = 0; i < count; ++i)
      if (((static_cast<int>(bytes[i / 8]) >> (i % 8)) & 1) != 0) found.push_back(i);
  } else if (positions == Positions::kIndices) {
    uint64_t value = 0;
    int shift = 0;
    for (std::byte byte : bytes) {
      value |= (static_cast<uint64_t>(byte) & 0x7f) << shift;
      shift += 7;
      if ((static_cast<int>(byte) & 0x80) != 0) continue;
      found.push_back(static_cast<int64_t>(value));
      value = 0;
      shift = 0;
    }
  } else {
    const bool nibbles = positions == Positions::kGaps4;
    int64_t at = count;
    const auto code = [&](int one) {
      const int filler = nibbles ? 15 : 255;
      at -= one == filler ? filler : one + 1;
      if (one != filler) found.push_back(at);
    };
    for (std::byte byte : bytes) {
      const auto value = static_cast<int>(byte);
      if (nibbles) {
        code(value & 15);
        code(value >> 4);
      } else {
        code(value);
      }
    }
  }
  return found;
}

void CheckStream(const Memory& memory, Positions positions, const PackingOptions& options) {
  const std::vector<float> sequence = memory.Sequence();
  const auto count = static_cast<int64_t>(sequence.size());
  const PackedStream stream =
      EncodePacked(memory.tensors, positions, ValueForm::kSame, {}, options);
  std::vector<float> values(stream.values.size() / 4);
  if (!values.empty()) std::memcpy(values.data(), stream.values.data(), stream.values.size());
  std::vector<float> rebuilt(sequence.size());
  if (positions == Positions::kAll) {
    rebuilt = values;
  } else {
    const size_t extra = positions == Positions::kIndices ? 0 : 1;
    EXPECT(extra == 0 || Bits(values.at(0)) == 0);
    const std::vector<int64_t> at = PositionsOf(stream.positions, positions, count);
    EXPECT_EQ(at.size() + extra, values.size());
    EXPECT_EQ(static_cast<int64_t>(at.size()), stream.nonzeros);
    for (size_t i = 0; i < at.size(); ++i) {
      EXPECT(at[i] >= 0 && at[i] < count);
      rebuilt.at(static_cast<size_t>(at[i])) = values.at(i + extra);
    }
  }
  EXPECT(std::equal(sequence.begin(), sequence.end(), rebuilt.begin(), rebuilt.end(),
                    [](float a, float b) { return Bits(a) == Bits(b); }));
  if (positions == Positions::kIndices) return;
  const int64_t padded = positions == Positions::kMask
                             ? static_cast<int64_t>(stream.positions.size()) * 8
                             : count + (stream.padded ? kGapCode4.filler : 0);
  std::vector<float> decoded(static_cast<size_t>(padded));
  DecodePacked({positions, ValueForm::kSame, 4, padded, stream.positions, stream.values, {}},
               reinterpret_cast<std::byte*>(decoded.data()), options);
  const int64_t before = positions == Positions::kMask ? 0 : padded - count;
  EXPECT(std::equal(sequence.begin(), sequence.end(), decoded.begin() + before,
                    [](float a, float b) { return Bits(a) == Bits(b); }));
}

TEST(StreamsOfAllLengthsAndDensities) {
  for (int every : {1, 2, 9, 40, 300, 5000}) {
    for (int64_t count : {0, 1, 7, 8, 63, 64, 65, 130, 1000, 4099, 70001}) {
      Context() = "every=" + std::to_string(every) + " n=" + std::to_string(count);
      const Memory memory({SparseFloats(count, every, 1), SparseFloats(count / 3, every, 2)}, 777);
      for (Positions positions : kAllPositions)
        CheckStream(memory, positions, {1, nullptr, nullptr});
    }
  }
}

TEST(FirstLastAndBorderDistances) {
  for (int64_t distance : {1, 14, 15, 16, 17, 29, 30, 31, 32, 254, 255, 256, 257, 510, 511, 512}) {
    Context() = "distance=" + std::to_string(distance);
    std::vector<float> values(2000);
    values[0] = 1;
    values[static_cast<size_t>(distance)] = 2;
    values[static_cast<size_t>(1999 - distance)] = 3;
    values[1999] = 4;
    const Memory memory({values});
    for (Positions positions : kAllPositions) CheckStream(memory, positions, {});
  }
}

TEST(SameBytesForEveryBackendAndThreadCount) {
  const Memory memory({SparseFloats(900'001, 10, 3), SparseFloats(1'200'003, 3, 4)});
  const std::vector<float> codebook = MakeCodebook(memory.tensors, {1, nullptr, nullptr});
  for (Positions positions : kAllPositions) {
    for (ValueForm form : {ValueForm::kSame, ValueForm::kFloat16, ValueForm::kCodebook}) {
      const PackedStream expected = EncodePacked(memory.tensors, positions, form, codebook,
                                                 {1, SupportedBackends().back(), nullptr});
      for (const Backend* backend : SupportedBackends()) {
        for (int threads : {1, 2, 5}) {
          Context() = std::string(backend->name) + " threads=" + std::to_string(threads);
          const PackedStream stream =
              EncodePacked(memory.tensors, positions, form, codebook, {threads, backend, nullptr});
          EXPECT(stream.positions == expected.positions);
          EXPECT(stream.values == expected.values);
          EXPECT(stream.errors[0].sum == expected.errors[0].sum);
          EXPECT(MakeCodebook(memory.tensors, {threads, backend, nullptr}) == codebook);
        }
      }
    }
  }
}

TEST(MeasuresWhatEncodingMakes) {
  for (int every : {1, 3, 12, 90, 1000}) {
    const Memory memory({SparseFloats(200'003, every, 5)}, 33'333);
    const PackingSizes sizes = MeasurePacking(memory.tensors, {})[0];
    const auto encode = [&](Positions positions) {
      return EncodePacked(memory.tensors, positions, ValueForm::kSame, {}, {});
    };
    EXPECT_EQ(sizes.codes8, static_cast<int64_t>(encode(Positions::kGaps8).positions.size()));
    const PackedStream gaps4 = encode(Positions::kGaps4);
    EXPECT_EQ(sizes.codes4 + gaps4.padded, static_cast<int64_t>(gaps4.positions.size()) * 2);
    const PackedStream indices = encode(Positions::kIndices);
    EXPECT_EQ(sizes.index_bytes, static_cast<int64_t>(indices.positions.size()));
    EXPECT_EQ(sizes.nonzeros, static_cast<int64_t>(indices.values.size()) / 4);
    float largest = 0;
    for (float value : memory.data[0]) largest = std::max(largest, std::abs(value));
    EXPECT_EQ(sizes.largest, double{largest});
  }
}

TEST(OtherElementTypesKeepTheirBits) {
  for (DType dtype : {DType::kFloat16, DType::kFloat64}) {
    std::vector<std::byte> bytes = ToBytes(MakeValues("zeros90", 10'007, 6), dtype);
    const MemorySource source(bytes.data());
    const auto width = ElementBytes(dtype);
    const std::vector<Tensor> tensors = {
        {"t", dtype, 1, 10'007, {{&source, 0, static_cast<int64_t>(bytes.size())}}}};
    const PackedStream stream = EncodePacked(tensors, Positions::kGaps8, ValueForm::kSame, {}, {});
    std::vector<std::byte> out(bytes.size());
    DecodePacked(
        {Positions::kGaps8, ValueForm::kSame, width, 10'007, stream.positions, stream.values, {}},
        out.data(), {});
    EXPECT(out == bytes);
  }
}

// Every float16, and every boundary between two of them: ties go to the even one.
TEST(RoundsToHalfLikeTheReference) {
  for (uint32_t half = 0; half < 0x7c00; ++half) {
    const auto bits = static_cast<uint16_t>(half);
    const auto value = static_cast<float>(KeyValue(DType::kFloat16, half));
    EXPECT_EQ(Bits(HalfToFloat(bits)), Bits(value));
    EXPECT_EQ(FloatToHalf(value), bits);
    EXPECT_EQ(FloatToHalf(-value), static_cast<uint16_t>(bits | 0x8000));
    const auto next = static_cast<float>(KeyValue(DType::kFloat16, half + 1));
    const float middle = value + (next - value) / 2;
    EXPECT_EQ(FloatToHalf(middle), static_cast<uint16_t>(half + (half & 1)));
    EXPECT_EQ(FloatToHalf(std::nextafter(middle, 0.0F)), bits);
    EXPECT_EQ(FloatToHalf(std::nextafter(middle, 1e30F)), static_cast<uint16_t>(half + 1));
  }
  EXPECT_EQ(FloatToHalf(1e30F), 0x7c00);
  EXPECT_EQ(FloatToHalf(INFINITY), 0x7c00);
  EXPECT(std::isnan(HalfToFloat(FloatToHalf(NAN))));
  EXPECT(std::isinf(HalfToFloat(0xfc00)) && HalfToFloat(0xfc00) < 0);
}

double SquaredError(const std::vector<float>& values, const std::vector<float>& codebook) {
  double sum = 0;
  for (float value : values) {
    if (value == 0) continue;
    double least = INFINITY;
    for (float entry : codebook) least = std::min(least, std::abs(double{entry} - double{value}));
    sum += least * least;
  }
  return sum;
}

TEST(CodebooksAreExactForFewValues) {
  std::vector<float> values(5000);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(static_cast<int>(i * 7919 % 255) - 127) * 0.37F;
  const std::vector<float> codebook = MakeCodebook(Memory({values}).tensors, {});
  std::set<float> distinct(values.begin(), values.end());
  distinct.erase(0.0F);
  EXPECT(std::vector<float>(distinct.begin(), distinct.end()) == codebook);
  // More weights than are sampled, and one value that a sample would miss.
  std::vector<float> many(1'000'001, 0.25F);
  many[777] = -3;
  EXPECT(MakeCodebook(Memory({many}).tensors, {}) == std::vector<float>({-3, 0.25F}));
}

TEST(CodebooksAreAboutAsGoodAsTheBest) {
  // For many entries the best error is (integral of density^(1/3))^3 / 12 n^2, by Panter and Dite:
  // sqrt(3) * pi / 2 / n^2 for the normal distribution.
  const std::vector<float> values = SparseFloats(400'000, 1, 8);
  const std::vector<float> codebook = MakeCodebook(Memory({values}).tensors, {});
  const auto entries = static_cast<double>(codebook.size());
  EXPECT_EQ(codebook.size(), size_t{kCodebookEntries});
  const double best = std::sqrt(3) * 3.14159265 / 2 / entries / entries;
  const double error = SquaredError(values, codebook) / static_cast<double>(values.size());
  EXPECT(error < 1.1 * best);
  EXPECT(error > 0.8 * best);
}

TEST(CodebooksOfOddDistributions) {
  for (const std::string& distribution : Distributions()) {
    Context() = distribution;
    const std::vector<double> wide = MakeValues(distribution, 20'000, 9);
    const std::vector<float> values(wide.begin(), wide.end());
    const Memory memory({values});
    const std::vector<float> codebook = MakeCodebook(memory.tensors, {});
    EXPECT(std::is_sorted(codebook.begin(), codebook.end()));
    if (codebook.empty()) continue;
    const Quantizer quantizer(codebook);
    for (float value : values) {
      const float found = codebook[static_cast<size_t>(quantizer.Nearest(value))];
      double least = INFINITY;
      for (float entry : codebook) least = std::min(least, std::abs(double{entry} - double{value}));
      EXPECT_EQ(std::abs(double{found} - double{value}), least);
    }
    const PackedStream stream =
        EncodePacked(memory.tensors, Positions::kAll, ValueForm::kCodebook, codebook, {});
    EXPECT_EQ(stream.values.size(), values.size());
  }
}

std::string Refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return "";
}

TEST(RefusesWhatIsNotFinite) {
  for (float value : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> values(100, 0.5F);
    values[77] = value;
    const Memory memory({values});
    EXPECT_EQ(Refusal([&] { MakeCodebook(memory.tensors, {}); }), "NONFINITE_WEIGHT");
    EXPECT(!(MeasurePacking(memory.tensors, {})[0].largest <= 65504));
  }
}

// Streams with bytes changed, dropped or added: decoding either refuses or stays inside `out`.
TEST(HostileStreams) {
  std::mt19937 random(10);
  std::map<std::string, int> outcomes;
  const Memory memory({SparseFloats(3000, 12, 11)});
  const std::vector<float> codebook = MakeCodebook(memory.tensors, {});
  std::vector<float> table{0};
  table.insert(table.end(), codebook.begin(), codebook.end());
  for (int round = 0; round < 20'000; ++round) {
    const Positions positions = kAllPositions[random() % 5];
    const ValueForm form = static_cast<ValueForm>(random() % 3);
    PackedStream stream = EncodePacked(memory.tensors, positions, form, codebook, {});
    std::vector<std::byte>& bytes = random() % 2 ? stream.positions : stream.values;
    const auto at = static_cast<std::ptrdiff_t>(random() % (bytes.size() + 1));
    if (random() % 3 == 0)
      bytes.resize(static_cast<size_t>(at));
    else if (random() % 2)
      bytes.insert(bytes.begin() + at, static_cast<std::byte>(random()));
    else if (!bytes.empty())
      bytes[static_cast<size_t>(at) % bytes.size()] ^= static_cast<std::byte>(1 + random() % 255);
    const int64_t count = random() % 4 ? 3000 : static_cast<int64_t>(random() % 4000);
    const int64_t length = positions == Positions::kMask && random() % 2
                               ? static_cast<int64_t>(stream.positions.size()) * 8
                               : count;
    std::vector<std::byte> out(static_cast<size_t>(length) * 4);
    const size_t entries = random() % 2 ? table.size() : random() % (table.size() + 1);
    const std::string code = Refusal([&] {
      DecodePacked({positions, form, 4, length, stream.positions, stream.values,
                    std::span(table).first(entries)},
                   out.data(), {});
    });
    ++outcomes[code];
  }
  EXPECT_EQ(outcomes.size(), size_t{2});
  EXPECT(outcomes[""] > 100 && outcomes["INVALID_MODEL"] > 1000);
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
