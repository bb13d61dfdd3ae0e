// The page's parts as the build embeds them: page.html, page.css, and all of page*.js in order.
#pragma once

#include <string_view>

namespace collie {

std::string_view page_html();
std::string_view page_css();
std::string_view page_js();

}  // namespace collie
