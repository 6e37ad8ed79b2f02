/** The element that an event is about; for events of the document or a text there is none. */
export const targetOf = (event: Event): Element | null => (event.target instanceof Element ? event.target : null)
