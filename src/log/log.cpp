#include "tercet/log/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "log/console.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/utf8.hpp"

namespace tercet::log {
namespace {

// stderr, with one line at the bottom that is drawn anew below each message while a stage shows its progress.
class ConsoleSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void draw_live(std::string_view line) {
    const std::lock_guard lock(mutex_);
    live_ = console::fit_to_width(line, terminal_width());
    write("\r" + live_ + "\033[K");
  }
  void clear_live() {
    const std::lock_guard lock(mutex_);
    if (!live_.empty()) write("\r\033[K");
    live_.clear();
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t buffer;
    formatter_->format(message, buffer);
    const std::string text(buffer.data(), buffer.size());
    write(live_.empty() ? text : "\r\033[K" + text + live_);
  }
  void flush_() override { std::fflush(stderr); }

 private:
  static void write(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  }
  static std::size_t terminal_width() {
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  }
  std::string live_;
};

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// A plain message on the console reads as a sentence; only trouble carries its level.
std::string console_prefix(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug: ";
    case Level::kInfo:
      return "";
    case Level::kWarn:
      return "warning: ";
    case Level::kError:
      return "error: ";
  }
  return "";
}

constexpr std::size_t kLongestMessage = 1 << 20;  // a table of a thousand ranks fits

class Output {
 public:
  Output() : sink_(std::make_shared<ConsoleSink>()), console_("console", sink_) {
    console_.set_pattern("%H:%M:%S %v");
    console_.set_level(spdlog::level::info);
  }

  void open(const Options& options) {
    const std::lock_guard lock(mutex_);
    options_ = options;
    console_.set_level(to_spdlog(options.level));
    file_.reset();
    if (!options.directory.empty()) file_ = open_file(options);
  }

  void close() {
    const std::lock_guard lock(mutex_);
    if (file_) file_->flush();
    file_.reset();
    sink_->clear_live();
  }

  void say(Level level, std::string_view said, bool from_one_rank) {
    const std::string message = printable(said, kLongestMessage);  // names in files are strangers' words
    const std::lock_guard lock(mutex_);
    if (options_.rank == 0 || from_one_rank) {  // the console first: a file system may hang
      const bool name_rank = from_one_rank && options_.world_size > 1;
      const std::string rank = name_rank ? "rank " + std::to_string(options_.rank) + ": " : "";
      console_.log(to_spdlog(level), console_prefix(level) + rank + message);
    }
    if (file_) file_->log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
  }

  ConsoleSink& sink() { return *sink_; }
  bool is_root() {
    const std::lock_guard lock(mutex_);
    return options_.rank == 0;
  }
  double line_interval_s() {
    const std::lock_guard lock(mutex_);
    return options_.line_interval_s;
  }

 private:
  static std::shared_ptr<spdlog::logger> open_file(const Options& options) {
    char name[32];
    std::snprintf(name, sizeof name, "rank-%04d.log", options.rank);
    const std::filesystem::path path = options.directory / name;
    try {
      std::filesystem::create_directories(options.directory);
      auto logger = std::make_shared<spdlog::logger>(
          "file", std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string(), /*truncate=*/false));
      logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
      logger->set_level(std::min(to_spdlog(options.level), spdlog::level::info));
      logger->flush_on(spdlog::level::info);
      return logger;
    } catch (const std::exception& error) {
      throw StoreError("cannot write the log file '" + path.string() + "'", error.what(),
                       "choose another output directory or check its permissions and free space");
    }
  }

  std::mutex mutex_;
  Options options_;
  std::shared_ptr<ConsoleSink> sink_;
  spdlog::logger console_;
  std::shared_ptr<spdlog::logger> file_;
};

// Never destroyed: destructors of other static objects may still want to say something.
Output& output() {
  static Output* const instance = new Output;
  return *instance;
}

// mpirun gives ranks a pipe, so the launcher says (TERCET_TERMINAL=1) when a person watches the other end.
bool stderr_is_live_terminal() {
  const char* term = std::getenv("TERM");
  const char* launcher = std::getenv("TERCET_TERMINAL");
  const bool watched = launcher != nullptr && std::string_view(launcher) == "1";
  return (watched || isatty(STDERR_FILENO) != 0) && term != nullptr && std::string_view(term) != "dumb";
}

}  // namespace

void open(const Options& options) {
  output().open(options);
}
void close() {
  output().close();
}

void debug(std::string_view message) {
  output().say(Level::kDebug, message, false);
}
void info(std::string_view message) {
  output().say(Level::kInfo, message, false);
}
void warn(std::string_view message) {
  output().say(Level::kWarn, message, false);
}
void error(std::string_view message) {
  output().say(Level::kError, message, false);
}
void info_here(std::string_view message) {
  output().say(Level::kInfo, message, true);
}
void warn_here(std::string_view message) {
  output().say(Level::kWarn, message, true);
}
void error_here(std::string_view message) {
  output().say(Level::kError, message, true);
}

namespace console {
bool is_root() {
  return output().is_root();
}
bool is_live_terminal() {
  return stderr_is_live_terminal();
}
double line_interval_s() {
  return output().line_interval_s();
}
void draw_live(std::string_view line) {
  output().sink().draw_live(line);
}
void clear_live() {
  output().sink().clear_live();
}
}  // namespace console

}  // namespace tercet::log
