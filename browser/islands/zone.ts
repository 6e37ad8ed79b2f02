/** The server shows times in this zone from the next page on. */

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
document.cookie = `cairn_zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`

export {}
