/** What every page needs beyond HTML and htmx. Each file listens for itself; no inline code, no eval. */

import './zone'
import './copying'
import './asking'
import './choosing'
import './refused'
import './unsent'
import './uploading'
import './keys'
