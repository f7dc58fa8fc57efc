#include "api/arm/template_functions.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <optional>

/// Of dates and times.
namespace berth::arm {
namespace {

using namespace template_functions;
using nlohmann::json;

std::optional<std::int64_t> parse_time(std::string_view text) {
  std::array<int, 6> parts{1970, 1, 1, 0, 0, 0};
  constexpr std::array<std::size_t, 6> widths{4, 2, 2, 2, 2, 2};
  std::size_t part = 0;
  std::size_t at = 0;
  while (part < parts.size() && at < text.size()) {
    if (text[at] < '0' || text[at] > '9') {
      if (std::string_view("-:T ").find(text[at]) == std::string_view::npos) break;
      ++at;
      continue;
    }
    if (at + widths[part] > text.size()) return std::nullopt;
    const char* begin = text.data() + at;
    if (std::from_chars(begin, begin + widths[part], parts[part]).ptr != begin + widths[part])
      return std::nullopt;
    at += widths[part++];
  }
  if (part < 3) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(parts[0]),
                                         std::chrono::month(static_cast<unsigned>(parts[1])),
                                         std::chrono::day(static_cast<unsigned>(parts[2]))};
  if (!date.ok() || parts[3] > 23 || parts[4] > 59 || parts[5] > 60) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::sys_days(date)).time_since_epoch().count() + parts[3] * 3600 +
         parts[4] * 60 + parts[5];
}

std::int64_t time_argument(const Arguments& arguments, std::size_t index) {
  const auto found = parse_time(text(arguments, index));
  if (!found) refuse(fmt::format("argument {} is no time", index + 1));
  return *found;
}

/// Adds an ISO 8601 duration ("P1Y2M10DT2H30M", "-PT1H").
std::int64_t add_duration(std::int64_t time, std::string_view duration) {
  const bool negative = duration.starts_with('-');
  if (negative) duration.remove_prefix(1);
  if (!duration.starts_with('P') || duration.size() < 3) refuse("argument 2 is no ISO 8601 duration");
  duration.remove_prefix(1);
  bool of_day = false;
  std::int64_t months = 0, seconds = 0;
  while (!duration.empty()) {
    if (duration.front() == 'T') {
      of_day = true;
      duration.remove_prefix(1);
      continue;
    }
    int number = 0;
    const auto [end, problem] = std::from_chars(duration.data(), duration.data() + duration.size(), number);
    if (problem != std::errc() || end == duration.data() + duration.size() || number < 0 ||
        number > 1'000'000)
      refuse("argument 2 is no ISO 8601 duration");
    switch (*end) {
      case 'Y':
        months += 12LL * number;
        break;
      case 'M':
        (of_day ? seconds : months) += of_day ? 60LL * number : number;
        break;
      case 'W':
        seconds += 604'800LL * number;
        break;
      case 'D':
        seconds += 86'400LL * number;
        break;
      case 'H':
        seconds += 3600LL * number;
        break;
      case 'S':
        seconds += number;
        break;
      default:
        refuse("argument 2 is no ISO 8601 duration");
    }
    duration.remove_prefix(static_cast<std::size_t>(end + 1 - duration.data()));
  }
  if (months > 12 * 5000) refuse("argument 2 is too long");
  if (months != 0) {
    const std::chrono::sys_seconds point{std::chrono::seconds(time)};
    const auto day = std::chrono::floor<std::chrono::days>(point);
    std::chrono::year_month_day date(day);
    date += std::chrono::months(static_cast<int>(negative ? -months : months));
    if (!date.ok()) date = date.year() / date.month() / std::chrono::last;
    time = std::chrono::sys_seconds(std::chrono::sys_days(date)).time_since_epoch().count() +
           (point - day).count();
  }
  return time + (negative ? -seconds : seconds);
}

json date_time_add(Arguments& arguments) {
  const std::int64_t time = add_duration(time_argument(arguments, 0), text(arguments, 1));
  return format_time(time,
                     arguments.size() > 2 ? std::string_view(text(arguments, 2)) : "yyyy-MM-ddTHH:mm:ssZ");
}
json date_time_from_epoch(Arguments& arguments) {
  const std::int64_t time = whole(arguments, 0);
  if (time < -62'135'596'800 || time > 253'402'300'799)
    refuse("argument 1 is no time between the years 1 and 9999");
  return format_time(time, "yyyy-MM-ddTHH:mm:ssZ");
}
json date_time_to_epoch(Arguments& arguments) {
  return time_argument(arguments, 0);
}

constexpr TemplateFunction date_table[] = {
    {"dateTimeAdd", 2, 3, date_time_add},
    {"dateTimeFromEpoch", 1, 1, date_time_from_epoch},
    {"dateTimeToEpoch", 1, 1, date_time_to_epoch},
};

}  // namespace

std::string format_time(std::int64_t seconds_since_epoch, std::string_view format) {
  if (format == "u") format = "yyyy-MM-dd HH:mm:ssZ";
  if (format == "o" || format == "O") format = "yyyy-MM-ddTHH:mm:ss.0000000Z";
  if (format == "d") format = "MM/dd/yyyy";
  if (format == "s") format = "yyyy-MM-ddTHH:mm:ss";
  if (format == "r" || format == "R") format = "ddd, dd MMM yyyy HH:mm:ss GMT";
  static constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  static constexpr std::string_view days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  const std::chrono::sys_seconds point{std::chrono::seconds(seconds_since_epoch)};
  const auto day = std::chrono::floor<std::chrono::days>(point);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(point - day);
  const auto month = static_cast<unsigned>(date.month());
  std::string made;
  for (std::size_t at = 0; at < format.size();) {
    std::size_t run = 1;
    while (at + run < format.size() && format[at + run] == format[at]) ++run;
    const auto number = [&](long value) {
      made += run > 1 ? fmt::format("{:02}", value) : std::to_string(value);
    };
    switch (format[at]) {
      case 'y':
        made += run == 2 ? fmt::format("{:02}", static_cast<int>(date.year()) % 100)
                         : fmt::format("{:04}", static_cast<int>(date.year()));
        break;
      case 'M':
        if (run >= 3)
          made += months[month - 1];
        else
          number(month);
        break;
      case 'd':
        if (run >= 3)
          made += days[std::chrono::weekday(day).c_encoding()];
        else
          number(static_cast<unsigned>(date.day()));
        break;
      case 'H':
        number(clock.hours().count());
        break;
      case 'h':
        number((clock.hours().count() + 11) % 12 + 1);
        break;
      case 'm':
        number(clock.minutes().count());
        break;
      case 's':
        number(clock.seconds().count());
        break;
      case 'f':
        made += std::string(run, '0');
        break;
      case 't':
        made += clock.hours().count() < 12 ? "AM" : "PM";
        break;
      default:
        made.append(run, format[at]);
    }
    at += run;
  }
  return made;
}

std::span<const TemplateFunction> template_functions::date() {
  return date_table;
}

}  // namespace berth::arm
