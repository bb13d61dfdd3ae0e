// Unicode normalization forms.
#pragma once

#include <string>
#include <string_view>

namespace collie::tok {

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };

// False, and out untouched, where text (valid UTF-8) already is in that form for sure.
bool to_unicode_form(UnicodeForm form, std::string_view text, std::string& out);

}  // namespace collie::tok
