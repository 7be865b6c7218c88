// Who may see the pages: the token, and on a loopback address the names under which it may be asked for.
#pragma once

#include <string>

namespace tercet::dashboard {

bool is_loopback(const std::string& host);                     // "localhost", 127.x.y.z, ::1
std::string random_token();                                    // 128 bits from the kernel, as 32 digits
bool same_secret(const std::string& a, const std::string& b);  // in a time that does not depend on them

class Access {
 public:
  // An empty token asks for none. `port` names the cookie: cookies know no ports.
  Access(bool loopback, std::string token, int port);

  // Whether a page of another name, which its owner lets point to this machine (DNS rebinding), is asking.
  bool knows_host(const std::string& host_header) const;

  bool allows(const std::string& authorization, const std::string& cookies) const;  // two headers
  bool is_token(const std::string& token) const;                                    // false when none is asked for
  bool asks() const { return !token_.empty(); }
  std::string cookie() const;  // value of Set-Cookie

 private:
  bool loopback_;
  std::string token_, cookie_name_;
};

}  // namespace tercet::dashboard
