#include "dashboard/access.hpp"

#include <arpa/inet.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"

namespace tercet::dashboard {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// "localhost:8420" and "[::1]:8420" without the port.
std::string host_in(const std::string& header) {
  if (header.starts_with("[")) {
    const std::size_t end = header.find(']');
    return end == std::string::npos ? "" : header.substr(1, end - 1);
  }
  return header.substr(0, header.find(':'));
}

}  // namespace

bool is_loopback(const std::string& host) {
  in_addr four{};
  in6_addr six{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  if (::inet_pton(AF_INET6, host.c_str(), &six) == 1) return IN6_IS_ADDR_LOOPBACK(&six);
  return lower(host) == "localhost";
}

std::string random_token() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw StoreError("no token can be made", "the kernel gives no random bytes", "give one with --token");
  std::string token;
  for (const unsigned char byte : bytes) {
    token += "0123456789abcdef"[byte >> 4];
    token += "0123456789abcdef"[byte & 15];
  }
  return token;
}

bool same_secret(const std::string& a, const std::string& b) {
  const std::string left = sha256_hex(a), right = sha256_hex(b);  // of one length, and nothing to steer by
  unsigned difference = 0;
  for (std::size_t i = 0; i < left.size(); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(left[i]) ^ static_cast<unsigned char>(right[i]));
  return difference == 0;
}

Access::Access(bool loopback, std::string token, int port)
    : loopback_(loopback), token_(std::move(token)), cookie_name_("tercet-" + std::to_string(port)) {}

bool Access::knows_host(const std::string& host_header) const {
  return !loopback_ || is_loopback(host_in(host_header));
}

bool Access::is_token(const std::string& token) const {
  return asks() && same_secret(token, token_);
}

bool Access::allows(const std::string& authorization, const std::string& cookies) const {
  if (!asks()) return true;
  const std::string scheme = "bearer ";
  if (lower(authorization.substr(0, scheme.size())) == scheme && is_token(authorization.substr(scheme.size())))
    return true;
  for (std::size_t begin = 0; begin < cookies.size();) {
    const std::size_t end = std::min(cookies.find(';', begin), cookies.size());
    const std::string one = cookies.substr(begin, end - begin);
    const std::size_t name = one.find_first_not_of(' ');
    if (name != std::string::npos && one.compare(name, cookie_name_.size() + 1, cookie_name_ + "=") == 0 &&
        is_token(one.substr(name + cookie_name_.size() + 1))) {
      return true;
    }
    begin = end + 1;
  }
  return false;
}

std::string Access::cookie() const {
  return cookie_name_ + "=" + token_ + "; Path=/; HttpOnly; SameSite=Strict";
}

}  // namespace tercet::dashboard
