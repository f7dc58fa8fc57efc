#include "scripts/download.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "host/files.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr std::uintmax_t largest_file = 4ULL << 30, largest_text = 16u << 20;
constexpr int attempts = 7;
constexpr seconds one_attempt{1800};

/// For the agent's own Python: address on standard input, file as argument; prints the status.
constexpr const char* python_program = R"(
import base64, sys, urllib.request, urllib.error, urllib.parse
url, limit = urllib.parse.urlsplit(sys.stdin.read()), int(sys.argv[2])
if url.scheme not in ('http', 'https'): sys.exit('not http')
user, at, host = url.netloc.rpartition('@')
request = urllib.request.Request(urllib.parse.urlunsplit(url._replace(netloc=host)))
if at:
    word = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
    request.add_unredirected_header('Authorization', 'Basic ' + word)
try:
    with urllib.request.urlopen(request, timeout=60) as answer, open(sys.argv[1], 'wb') as out:
        while True:
            piece = answer.read(1 << 20)
            if not piece: break
            limit -= len(piece)
            if limit < 0: sys.exit('the file is too large')
            out.write(piece)
        print(answer.status)
except urllib.error.HTTPError as error:
    print(error.code)
)";

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

bool may_pass(int status) {
  return status == 0 || status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

/// curl's exit codes that another attempt does not change: a malformed address, a scheme, a file too large, a full disk, TLS.
bool is_final(int exit_code) {
  for (const int code : {1, 3, 23, 51, 60, 63, 77})
    if (exit_code == code) return true;
  return false;
}

void sleep(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stop, time, [] { return false; });
}

}  // namespace

void Downloads::fetch(const WantedFile& file, const fs::path& folder) {
  const fs::path target = folder / file.name;
  const std::string& url = file.url.reveal();
  const bool has_curl = find_program("curl").has_value();
  std::string why;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    if (attempt > 0) {
      const std::chrono::milliseconds wait = seconds(3) * (1 << (attempt - 1));
      log_.line(
          fmt::format("download again in s={} file={} because='{}'", wait.count() / 1000, file.name, why));
      if (pause)
        pause(wait);
      else
        sleep(wait, stop);
      if (stop.stop_requested())
        throw Error(ErrorKind::unavailable, "OperationCanceled",
                    fmt::format("The download of {} was stopped.", file.name));
    }
    std::error_code ignored;
    fs::remove(target, ignored);  // what an earlier run left is not writable
    RunOptions options;
    options.limit = one_attempt;
    options.stop = stop;
    RunResult result;
    if (has_curl) {
      options.input = fmt::format(
          "url = {}\noutput = {}\nlocation\nmax-redirs = 10\nproto = \"=http,https\"\nproto-redir = "
          "\"=http,https\"\n"
          "globoff\nsilent\nshow-error\nfail\nconnect-timeout = 60\nspeed-limit = 1\nspeed-time = "
          "60\nmax-filesize = {}\n"
          "write-out = \"%{{http_code}}\"\n",
          quoted(url), quoted(target.string()), largest_file);
      result = runner_.run({"curl", "--disable", "--config", "-"}, options);
    } else {
      options.input = url;
      result = runner_.run({"python3", "-c", python_program, target.string(), std::to_string(largest_file)},
                           options);
    }
    const int status = std::atoi(result.out.c_str());
    if (result.exit_code == 0 && status == 200) {
      ::chmod(target.c_str(), 0500);
      return;
    }
    fs::remove(target, ignored);
    // curl says 22 for an answer that is no success, which has its number.
    const bool answered = status >= 300 || (status > 0 && result.exit_code == 0);
    why = answered ? fmt::format("unexpected status code: actual={} expected=200", status)
                   : last_lines(result, 1);
    if (answered ? !may_pass(status) : has_curl && is_final(result.exit_code)) break;
  }
  throw Error(ErrorKind::unavailable, "DownloadFailed",
              fmt::format("{} cannot be fetched from {}: {}.", file.name, host_of(url), why),
              "What virtual machines may reach is chosen with 'azure region start --egress'.");
}

void make_unix_text(const fs::path& file) {
  std::error_code trouble;
  if (fs::file_size(file, trouble) > largest_text || trouble) return;
  const std::string bytes = read_file(file);
  std::string_view text = bytes;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const std::string ending = file.extension().string();
  const bool named_so = ending == ".sh" || ending == ".txt" || ending == ".py" || ending == ".pl";
  if (!(named_so || text.starts_with("#!")) || text.find('\0') != text.npos) return;
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') result += text[i];
  if (result != bytes) write_file(file, result, 0500);
}

}  // namespace berth::extension
