// Files pruned where the weights lie: copies are exact but for the removed weights, and a failure
// leaves nothing.
#include "secateur/prune_files.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "core/varint.h"
#include "data.h"
#include "failures.h"
#include "groups_reference.h"
#include "reference.h"
#include "test.h"

namespace secateur::test {
namespace {

// A folder that is gone after the test.
class Folder {
 public:
  Folder() : path_("/tmp/secateur-test-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Folder() {
    for (const std::string& name : Names()) unlink((path_ + "/" + name).c_str());
    rmdir(path_.c_str());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string At(const std::string& name) const { return path_ + "/" + name; }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    DIR* folder = opendir(path_.c_str());
    while (const dirent* entry = readdir(folder)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    closedir(folder);
    return names;
  }

 private:
  std::string path_;
};

void Put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<int64_t>(bytes.size()));
}

std::string Get(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string AsString(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A file "head<weights>middle<weights>tail" with two tensors at odd offsets.
struct Case {
  Folder folder;
  std::vector<Weights> weights;
  std::string text;
  PruneJob job;

  explicit Case(int64_t count, DType dtype = DType::kFloat32) {
    for (uint32_t t = 0; t < 2; ++t) {
      const std::vector<double> values = MakeValues("normal", count + t, t + 1);
      weights.push_back({dtype, 1, ToBytes(values, dtype)});
    }
    text = "head." + AsString(weights[0].bytes) + "middle" + AsString(weights[1].bytes) + "tail";
    Put(folder.At("in"), text);
    const auto size = static_cast<int64_t>(text.size());
    const auto first = static_cast<int64_t>(weights[0].bytes.size());
    const auto second = static_cast<int64_t>(weights[1].bytes.size());
    job.sources = {{folder.At("in"), size}};
    job.tensors = {
        {"a", dtype, 1, Encoding::kFlat, weights[0].count(), {{0, 5, first}}},
        {"b", dtype, 1, Encoding::kFlat, weights[1].count(), {{0, 5 + first + 6, second}}}};
    job.select.ratios = {0.9};
    job.outputs = {{folder.At("out"), {{{0, 0, size}, ""}}}};
  }

  std::string Expected(double ratio) const {
    std::vector<Weights> masked = weights;
    const Kept kept = ReferenceKept(weights, ratio, Scope::kGlobal);
    for (size_t t = 0; t < masked.size(); ++t) {
      const int64_t element = ElementBytes(masked[t].dtype);
      for (int64_t i = 0; i < masked[t].count(); ++i) {
        if (kept[t][i]) continue;
        std::fill_n(masked[t].bytes.begin() + i * element, element, std::byte{0});
      }
    }
    return "head." + AsString(masked[0].bytes) + "middle" + AsString(masked[1].bytes) + "tail";
  }
};

TEST(CopiesAllButTheRemoved) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kFloat64}) {
    for (const int64_t count : {1, 100, 70000, 400001}) {
      Case test(count, dtype);
      const PruneResult result = PruneFiles(test.job);
      EXPECT(Get(test.folder.At("out")) == test.Expected(0.9));
      EXPECT_EQ(test.folder.Names().size(), size_t{2});
      for (size_t t = 0; t < 2; ++t) {
        EXPECT_EQ(result.zeros[t], result.selections[0].tensors[t].removed);
      }
    }
  }
}

TEST(PiecesAndLiterals) {
  Case test(1000);
  const auto size = static_cast<int64_t>(test.text.size());
  test.job.outputs = {{test.folder.At("data"), {{{0, 5, size - 5}, ""}}},
                      {test.folder.At("out"), {{{-1, 0, 0}, "new "}, {{0, 0, 5}, ""}}}};
  PruneFiles(test.job);
  EXPECT(Get(test.folder.At("data")) == test.Expected(0.9).substr(5));
  EXPECT(Get(test.folder.At("out")) == "new head.");
}

TEST(ReplacesItsOwnInput) {
  Case test(5000);
  test.job.outputs[0].path = test.folder.At("in");
  chmod(test.folder.At("in").c_str(), 0640);
  PruneFiles(test.job);
  EXPECT(Get(test.folder.At("in")) == test.Expected(0.9));
  EXPECT_EQ(test.folder.Names().size(), size_t{1});
  struct stat status;
  stat(test.folder.At("in").c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, mode_t{0640});
}

TEST(SelectsManyRatiosWithoutOutputs) {
  Case test(3000);
  test.job.select.ratios = {0.1, 0.5, 0.99};
  test.job.outputs.clear();
  const PruneResult result = PruneFiles(test.job);
  for (size_t i = 0; i < 3; ++i) {
    const double ratio = test.job.select.ratios[i];
    const Kept expected = ReferenceKept(test.weights, ratio, Scope::kGlobal);
    EXPECT(KeptBy(test.weights, result.selections[i]) == expected);
  }
  EXPECT_EQ(test.folder.Names().size(), size_t{1});
}

// Runs a case that must fail after `spoil` has changed it.
void ExpectFailure(const std::string& expected, const std::function<void(Case&)>& spoil) {
  Case test(300000);
  spoil(test);
  EXPECT_EQ(CodeOf([&] { PruneFiles(test.job); }), expected);
  EXPECT_EQ(test.folder.Names().size(), size_t{1});
  EXPECT(Get(test.folder.At("in")) == test.text);
}

TEST(FailuresLeaveNothing) {
  ExpectFailure("FILE_CHANGED", [](Case& test) { test.job.sources[0].size += 1; });
  ExpectFailure("IO", [](Case& test) { test.job.sources[0].path += "-missing"; });
  ExpectFailure("IO", [](Case& test) { test.job.outputs[0].path = test.folder.At("no/folder"); });
  ExpectFailure("ABORTED", [](Case& test) {
    static Monitor monitor;
    monitor.Cancel();
    test.job.select.monitor = &monitor;
  });
}

TEST(PlansThatAreWrongAreRefused) {
  // A run outside the file, tensors that overlap, and an output that would lose weights.
  ExpectFailure("INTERNAL", [](Case& test) { test.job.tensors[1].runs[0].offset += 100; });
  ExpectFailure("INVALID_MODEL", [](Case& test) { test.job.tensors[1].runs[0].offset = 1001; });
  ExpectFailure("INTERNAL", [](Case& test) { test.job.outputs[0].pieces = {{{0, 0, 5}, ""}}; });
}

// Acts in the middle of the call: when writing begins.
class OnWrite final : public Monitor {
 public:
  explicit OnWrite(std::function<void()> act) : act_(std::move(act)) {}

 private:
  void OnProgress() override {
    if (phase() == Phase::kWrite && !acted_.exchange(true)) act_();
  }
  std::function<void()> act_;
  std::atomic<bool> acted_{false};
};

TEST(CancelledInMidWrite) {
  Case test(300000);
  Put(test.folder.At("out"), "old");
  OnWrite monitor([&] { monitor.Cancel(); });
  test.job.select.monitor = &monitor;
  EXPECT_EQ(CodeOf([&] { PruneFiles(test.job); }), std::string("ABORTED"));
  EXPECT(Get(test.folder.At("out")) == "old");
  EXPECT_EQ(test.folder.Names().size(), size_t{2});
}

TEST(SourceThatChangesOrShrinksMeanwhile) {
  for (const bool shrink : {true, false}) {
    Case test(400000);
    const std::string path = test.folder.At("in");
    OnWrite monitor([&] {
      if (shrink) {
        EXPECT_EQ(truncate(path.c_str(), 1000), 0);
      } else {
        std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).write("HEAD", 4);
      }
    });
    test.job.select.monitor = &monitor;
    EXPECT_EQ(CodeOf([&] { PruneFiles(test.job); }), std::string("FILE_CHANGED"));
    EXPECT_EQ(test.folder.Names().size(), size_t{1});
  }
}

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

TEST(VarintsKeepTheirLengths) {
  Folder folder;
  const Weights weights{DType::kFloat16, 1,
                        ToBytes(MakeValues("normal", 5000, 9), DType::kFloat16)};
  std::string encoded;
  for (int64_t i = 0; i < weights.count(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, weights.bytes.data() + 2 * i, 2);
    encoded += Varint(bits);
  }
  Put(folder.At("in"), "<" + encoded + ">");
  const auto size = static_cast<int64_t>(encoded.size());
  PruneJob job;
  job.sources = {{folder.At("in"), size + 2}};
  job.tensors = {{"w", DType::kFloat16, 1, Encoding::kVarint, 5000, {{0, 1, size}}}};
  job.select.ratios = {0.7};
  job.outputs = {{folder.At("out"), {{{0, 0, size + 2}, ""}}}};
  const PruneResult result = PruneFiles(job);
  EXPECT_EQ(result.zeros[0], 3500);
  const std::string out = Get(folder.At("out"));
  EXPECT_EQ(static_cast<int64_t>(out.size()), size + 2);
  std::vector<std::byte> body(encoded.size());
  std::memcpy(body.data(), out.data() + 1, body.size());
  std::vector<uint16_t> values;
  EXPECT(DecodeVarints(body, values));
  const Kept kept = ReferenceKept({weights}, 0.7, Scope::kGlobal);
  EXPECT_EQ(values.size(), kept[0].size());
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t key = values[i] & 0x7fff;
    EXPECT_EQ(key, kept[0][i] ? weights.Key(static_cast<int64_t>(i)) : uint64_t{0});
  }
}

// Channels of both tensors, and n of m: as the selection says, in the file and in the counts.
TEST(WritesWhatGroupSelectionsKeep) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kFloat64}) {
    for (const GroupRule rule : {GroupRule::kWhole, GroupRule::kWithin}) {
      Case test(96 * 1000, dtype);
      test.job.tensors[1].count -= 1;  // of the second, which has one more
      test.job.tensors[1].runs[0].bytes -= ElementBytes(dtype);
      test.weights[1].bytes.resize(test.weights[0].bytes.size());
      test.job.grouping = Grouping{
          rule, 3, {{{1, 1, 1000, 96}, 1, 96, {}, false}, {{1, 96, 1000, 1}, 1, 96, {}, false}}};
      if (rule == GroupRule::kWithin) {
        for (GroupedTensor& tensor : test.job.grouping->tensors) tensor.block_columns = 8;
      }
      const Kept kept = rule == GroupRule::kWithin
                            ? WithinKept(test.weights, *test.job.grouping)
                            : WholeKept(test.weights, *test.job.grouping, 0.9, 0, false);
      const std::vector<OutputSpec> outputs = std::exchange(test.job.outputs, {});
      const PruneResult planned = PruneFiles(test.job);
      test.job.outputs = outputs;
      const PruneResult result = PruneFiles(test.job);
      EXPECT(planned.zeros == result.zeros);
      EXPECT_EQ(result.groups->removed, result.selections[0].removed);
      std::string expected = test.text;
      const int64_t element = ElementBytes(dtype);
      const int64_t places[] = {5, 5 + 96000 * element + 6};
      for (size_t t = 0; t < 2; ++t) {
        int64_t removed = 0;
        for (int64_t i = 0; i < 96000; ++i) {
          if (kept[t][i]) continue;
          ++removed;
          std::fill_n(expected.begin() + places[t] + i * element, element, '\0');
        }
        EXPECT_EQ(result.groups->tensors[t].removed, removed);
        EXPECT(result.zeros[t] >= removed);
      }
      EXPECT(Get(test.folder.At("out")) == expected);
    }
  }
}

TEST(VarintsThatAreNone) {
  std::vector<uint16_t> values;
  EXPECT(!DecodeVarints({std::byte{0x80}}, values));
  EXPECT(!DecodeVarints(std::vector<std::byte>(11, std::byte{0x80}), values));
  EXPECT(DecodeVarints({}, values));
}

TEST(CountsZeros) {
  Case test(1000);
  std::fill(test.text.begin() + 5, test.text.begin() + 5 + 40, '\0');
  Put(test.folder.At("in"), test.text);
  EXPECT(CountZerosInFiles(test.job.sources, test.job.tensors, {}) ==
         (std::vector<int64_t>{10, 0}));
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
