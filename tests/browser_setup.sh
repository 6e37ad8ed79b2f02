# The browser tests drive Chromium. Where it is missing and we may install it, do; else say what to do.
command -v chromium >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0
fi
echo "The browser tests need Chromium on the PATH as 'chromium'. Install your system's chromium package and try again." >&2
exit 1
