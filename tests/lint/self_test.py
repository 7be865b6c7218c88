"""The lint checks find what they are for: a check that cannot fail says nothing."""

import pathlib
import unittest

import check_includes
import check_links
import check_paths
import function_length

LADDER_TEXT = """
tercet_module(base LINK Threads::Threads)
tercet_module(log  USES base LINK spdlog::spdlog)
tercet_module(comm USES log
              LINK MPI::MPI_CXX)
"""


def lengths(text):
    return {name: last - first + 1 for first, last, name in function_length.cpp_functions(text)}


class FunctionLength(unittest.TestCase):
    def test_counts_signature_and_braces(self):
        body = "\n".join(["  int x = 0;"] * 59)
        self.assertEqual(lengths(f"int f(int a) {{\n{body}\n}}\n"), {"f": 61})

    def test_sees_functions_inside_namespaces_and_classes(self):
        text = "namespace a::b {\nnamespace {\nclass C : public D<int> {\n public:\n  int get() const { return x_; }\n};\n" \
               "}\nvoid g() {\n  if (true) {\n  }\n}\n}\n"
        self.assertEqual(lengths(text), {"get": 1, "g": 4})

    def test_is_not_misled_by_braces_in_literals_and_comments(self):
        text = 'void f() {\n  auto a = "}";  // }\n  auto b = \'}\';\n  auto c = R"x(}})x"; /* } */\n  int n = 1\'000;\n}\nvoid g() {}\n'
        self.assertEqual(lengths(text), {"f": 6, "g": 1})

    def test_reads_past_braces_of_constructors_and_defaults(self):
        text = "C::C(int a)\n    : a_{a}, b_(std::move(b)) {\n  go();\n}\nvoid f(A a = {}) {\n  x();\n}\n"
        self.assertEqual(lengths(text), {"C::C": 4, "f": 3})

    def test_does_not_take_tables_for_functions(self):
        text = "const Row kRows[] = {\n  {1, f(2)},\n};\nconst std::map<int, int> kMap{\n  {1, 2},\n};\nenum class E { a, b };\n"
        self.assertEqual(lengths(text), {})

    def test_sees_tests_and_templates(self):
        text = "TEST(Suite, Name) {\n  run();\n}\ntemplate <class T>\nauto make(T t) -> std::vector<T> {\n  return {t};\n}\n"
        self.assertEqual(lengths(text), {"TEST": 3, "make": 4})

    def test_counts_shell_functions(self):
        text = "a() { echo; }\nlong() { # WHAT\n" + "  echo\n" * 60 + "}\n"
        self.assertEqual([(n, l - f + 1) for f, l, n in function_length.shell_functions(text)], [("long", 62)])


class Includes(unittest.TestCase):
    def setUp(self):
        self.ladder = check_includes.read_ladder(LADDER_TEXT)

    def wrong(self, include, module, public=False):
        return check_includes.complaint(include, module, public, self.ladder) is not None

    def test_a_higher_module_is_refused_and_a_lower_one_allowed(self):
        self.assertTrue(self.wrong("tercet/comm/communicator.hpp", "log"))
        self.assertFalse(self.wrong("tercet/base/error.hpp", "comm"))
        self.assertFalse(self.wrong("tercet/comm/runtime.hpp", "comm"))

    def test_private_headers_of_others_are_refused(self):
        self.assertTrue(self.wrong("base/detail.hpp", "comm"))
        self.assertFalse(self.wrong("comm/launch.hpp", "comm"))
        self.assertFalse(self.wrong("launch.hpp", "comm"))

    def test_spdlog_and_heavy_headers_have_their_places(self):
        self.assertTrue(self.wrong("spdlog/spdlog.h", "comm"))
        self.assertFalse(self.wrong("spdlog/spdlog.h", "log"))
        self.assertTrue(self.wrong("spdlog/spdlog.h", "log", public=True))
        self.assertTrue(self.wrong("torch/torch.h", "comm", public=True))
        self.assertFalse(self.wrong("ATen/core/Tensor.h", "comm", public=True))

    def test_a_ladder_out_of_order_is_refused(self):
        with self.assertRaises(SystemExit):
            check_includes.read_ladder("tercet_module(a USES b)\ntercet_module(b)\n")


class Paths(unittest.TestCase):
    def test_private_paths_are_found_and_relative_ones_are_not(self):
        self.assertTrue(list(check_paths.findings_in('open("/home/someone/x")', "f")))
        self.assertTrue(list(check_paths.findings_in("see /root/main", "f")))
        self.assertFalse(list(check_paths.findings_in("../home/x  $HOME/root/x  a/home/b  https://h/home/x", "f")))


class Links(unittest.TestCase):
    def wrong(self, text):
        files = {pathlib.Path("docs/b.md"): "# One `two.md`: three\n## Same\n## Same\n```sh\n# not a heading\n```\n",
                 pathlib.Path("docs/c.png"): ""}
        return len(list(check_links.findings_in(pathlib.Path("docs/a.md"), "# Here\n" + text, files.get)))

    def test_links_and_anchors_that_lead_somewhere_are_allowed(self):
        self.assertEqual(self.wrong("[x](b.md) [x](b.md#one-twomd-three) [x](#here) [x](b.md#same-1) ![x](c.png)"), 0)
        self.assertEqual(self.wrong("[x](https://host/nowhere.md#no) `[x](no.md)`\n```text\n[x](no.md)\n```\n"), 0)

    def test_missing_files_and_headings_are_found(self):
        for text in ("[x](no.md)", "[x](b.md#two)", "[x](#there)", "[x](b.md#not-a-heading)", '<img src="no.png" alt="">'):
            self.assertEqual(self.wrong(text), 1, text)


if __name__ == "__main__":
    unittest.main()
