// A test harness in one header: TEST(Name) { EXPECT(condition); EXPECT_EQ(a, b); } and
// RunAllTests() from main. A failed expectation prints its place and what was compared, and the
// program's exit status says whether all held.
#ifndef SECATEUR_TEST_TEST_H_
#define SECATEUR_TEST_TEST_H_

#include <cstdio>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace secateur::test {

struct Case {
  const char* name;
  std::function<void()> body;
};

inline std::vector<Case>& Cases() {
  static std::vector<Case> cases;
  return cases;
}

inline int& Failures() {
  static int failures = 0;
  return failures;
}

// What the running case is at, for messages: sizes, seeds, backends.
inline std::string& Context() {
  static std::string context;
  return context;
}

struct Registration {
  Registration(const char* name, std::function<void()> body) {
    Cases().push_back({name, std::move(body)});
  }
};

inline void Fail(const char* file, int line, const std::string& what) {
  ++Failures();
  if (Failures() <= 20)
    std::printf("%s:%d: %s [%s]\n", file, line, what.c_str(), Context().c_str());
}

template <class A, class B>
void ExpectEqual(const A& a, const B& b, const char* text, const char* file, int line) {
  if (a == b) return;
  std::ostringstream message;
  message << text << ": " << a << " against " << b;
  Fail(file, line, message.str());
}

inline int RunAllTests() {
  int failed = 0;
  for (const Case& test : Cases()) {
    const int before = Failures();
    Context().clear();
    try {
      test.body();
    } catch (const std::exception& error) {
      Fail(test.name, 0, std::string("threw ") + error.what());
    }
    const bool ok = Failures() == before;
    failed += !ok;
    std::printf("%s %s\n", ok ? "ok    " : "FAILED", test.name);
  }
  std::printf("%d passed, %d failed\n", static_cast<int>(Cases().size()) - failed, failed);
  return failed == 0 && !Cases().empty() ? 0 : 1;
}

}  // namespace secateur::test

#define TEST(name)                                                              \
  static void name();                                                           \
  static const ::secateur::test::Registration name##_registration(#name, name); \
  static void name()
#define EXPECT(condition) \
  if (!(condition)) ::secateur::test::Fail(__FILE__, __LINE__, "expected " #condition)
#define EXPECT_EQ(a, b) ::secateur::test::ExpectEqual((a), (b), #a " == " #b, __FILE__, __LINE__)

#endif  // SECATEUR_TEST_TEST_H_
