// Tests `secondsource bundle outputs` and `bundle attach`: expected outputs that travel without the weights.

#include <filesystem>

#include "reference_record.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

namespace fs = std::filesystem;

/// The committed bundle, what `bundle outputs` makes of it, and a bundle of the same model without expected outputs.
struct Published {
  ScratchFolder scratch;
  fs::path whole = source_path("bundles/tiny-gqa8-hd64");
  fs::path outputs = scratch.path() / "outputs";
  fs::path mine = scratch.path() / "mine";

  Published() {
    REQUIRE(run_program({"bundle", "outputs", whole.string(), "--out", outputs.string()}).status == 0);
    const std::string model = (scratch.path() / "model").string();
    fs::create_directory(model);
    for (const char* file : {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                             "generation_config.json", "chat_template.jinja"}) {
      if (fs::exists(whole / file)) fs::copy_file(whole / file, fs::path(model) / file);
    }
    const ProgramRun made = run_program({"bundle", "create", "--from-hf", model, "--out", mine.string()});
    CAPTURE(made.err);
    REQUIRE(made.status == 0);
  }

  [[nodiscard]] ProgramRun attach(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"bundle", "attach", mine.string(), outputs.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }

  [[nodiscard]] ProgramRun verify() const { return run_program({"bundle", "verify", mine.string()}); }
};

void change(const fs::path& file, const std::string& from, const std::string& to) {
  std::string text = *read_file(file);
  const std::size_t place = text.find(from);
  REQUIRE(place != std::string::npos);
  text.replace(place, from.size(), to);
  REQUIRE_OK(write_file(file, text));
}

}  // namespace

TEST_CASE("published outputs have no weights, and make a bundle of the same weights whole") {
  const Published published;
  CHECK_FALSE(fs::exists(published.outputs / "model.safetensors"));
  CHECK(*read_file(published.outputs / "manifest.yaml") == *read_file(published.whole / "manifest.yaml"));
  const ProgramRun attached = published.attach();
  CAPTURE(attached.err);
  REQUIRE(attached.status == 0);
  CHECK(contains(attached.out, "expected outputs of bf16, "));
  CHECK(contains(attached.out, "by bundles/recipes/expect.py with torch "));
  const ProgramRun whole = published.verify();
  CAPTURE(whole.out);
  CHECK(whole.status == 0);
  CHECK(whole.out == "model: whole\n");
  for (const auto& entry : fs::directory_iterator(published.whole / "expected")) {
    CHECK(*read_file(entry.path()) == *read_file(published.mine / "expected" / entry.path().filename()));
  }
  // Attaching again changes nothing. The source may also be a whole bundle.
  const std::string manifest = *read_file(published.mine / "manifest.yaml");
  CHECK(published.attach().status == 0);
  CHECK(run_program({"bundle", "attach", published.mine.string(), published.whole.string()}).status == 0);
  CHECK(*read_file(published.mine / "manifest.yaml") == manifest);
  // `check` uses the attached outputs.
  const ProgramRun check =
      run_program({"check", published.mine.string(), "--backend", "reference", "--variant", "bf16"});
  CAPTURE(check.out, check.err);
  CHECK(check.status == 0);
}

TEST_CASE("outputs of another model, or ones that were changed, are refused in one line, and nothing changes") {
  const Published published;
  const std::string manifest = *read_file(published.mine / "manifest.yaml");
  SECTION("other weights") {
    const fs::path other = published.scratch.path() / "other";
    REQUIRE(run_program({"bundle", "synth", "--config", source_path("bundles/tiny-gqa8-hd64/config.json"), "--out",
                         other.string()})
                .status == 0);
    check_refused(run_program({"bundle", "attach", other.string(), published.outputs.string()}),
                  "outputs of another model: ");
  }
  SECTION("a weight that was damaged after the bundle was made") {
    std::string bytes = *read_file(published.mine / "model.safetensors");
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    REQUIRE_OK(write_file(published.mine / "model.safetensors", bytes));
    check_refused(published.attach(), "damaged: expected SHA-256 ");
  }
  SECTION("an output that was edited") {
    change(published.outputs / "expected/bf16.jsonl", "\"finish\":\"length\"", "\"finish\":\"eos\"   ");
    check_refused(published.attach(), "expected/bf16.jsonl: expected SHA-256 ");
  }
  SECTION("an output that is gone") {
    fs::remove(published.outputs / "expected/bf16.jsonl");
    check_refused(published.attach(), "expected/bf16.jsonl");
  }
  SECTION("a bundle without expected outputs") {
    const fs::path same = published.scratch.path() / "same";
    fs::copy(published.mine, same, fs::copy_options::recursive);
    check_refused(run_program({"bundle", "attach", published.mine.string(), same.string()}),
                  "expected a variant with expected outputs, found none");
    check_refused(run_program({"bundle", "outputs", same.string(), "--out", same.string() + "2"}),
                  "expected a bundle with expected outputs, found none");
  }
  SECTION("no outputs") {
    check_refused(run_program({"bundle", "attach", published.mine.string(), "/nowhere"}), "found no manifest.yaml");
    const std::string model = (published.scratch.path() / "model").string();
    check_refused(run_program({"bundle", "attach", model, published.outputs.string()}), "make a bundle first");
  }
  CHECK(*read_file(published.mine / "manifest.yaml") == manifest);
  CHECK_FALSE(fs::exists(published.mine / "expected"));
}

TEST_CASE("a tokenizer that gives other ids than those that were answered to is found before anything changes") {
  const Published published;
  const fs::path suite = published.outputs / "prompts";
  std::string changed;
  for (const auto& entry : fs::directory_iterator(suite)) {
    if (contains(*read_file(entry.path()), "text: ")) changed = entry.path().string();
  }
  REQUIRE_FALSE(changed.empty());
  const std::string before = *read_file(changed);
  change(changed, "text: ", "text: x");
  // An edited prompt whose new hash and size are entered in the manifest still contradicts the stored token ids.
  const ProgramRun hash = run_program({"bundle", "attach", published.mine.string(), published.outputs.string()});
  check_refused(hash, "expected SHA-256 ");
  const std::string found = hash.err.substr(hash.err.rfind("found ") + 6, 64);
  const std::string listed = hash.err.substr(hash.err.rfind("expected SHA-256 ") + 17, 64);
  change(published.outputs / "manifest.yaml", listed, found);
  const std::string old_size = "bytes: " + std::to_string(before.size());
  change(published.outputs / "manifest.yaml", old_size, "bytes: " + std::to_string(before.size() + 1));
  check_refused(published.attach(), "expected the ids that the bundle's tokenizer gives");
}

TEST_CASE("outputs beside other ones need --replace, which drops those that cannot stand together") {
  const Published published;
  REQUIRE(published.attach().status == 0);
  // Simulates outputs that another version of PyTorch computed.
  change(published.outputs / "manifest.yaml", "torch: 2", "torch: 12");
  const std::string before = *read_file(published.mine / "manifest.yaml");
  check_refused(published.attach(), "which --replace would drop");
  CHECK(*read_file(published.mine / "manifest.yaml") == before);
  REQUIRE(published.attach({"--replace"}).status == 0);
  CHECK(contains(*read_file(published.mine / "manifest.yaml"), "torch: \"12."));
  CHECK(published.verify().status == 0);
}
