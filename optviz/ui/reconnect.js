/*
 * A page whose connection comes back asks for a run of the whole page, unless Streamlit does so itself. Streamlit mostly
 * trusts that the server still knows its visitor. Another server, behind a load balancer or started anew, knows no
 * fragment of the page and passes over what its controls say: the page would be dead until it is loaded again.
 *
 * A run that begins before anybody has touched the page is Streamlit's own. One that begins after that may be of a
 * fragment, which another server passes over; so then the page is asked for all the same.
 */
const RETURNING = 1500 // ms in which a run of Streamlit's own begins

if (!window.optvizReconnect) {
  window.optvizReconnect = true
  let lost = false
  let timer = 0
  let touched = false // since the connection came back
  for (const hand of ["keydown", "pointerdown"]) window.addEventListener(hand, () => (touched = true), true)
  const look = () => {
    const { testConnectionState: connection, testScriptState: script } =
      document.querySelector("[data-testid=stApp]")?.dataset ?? {}
    if (connection !== "CONNECTED" || (script !== "notRunning" && !touched)) clearTimeout(timer)
    if (connection === "CONNECTED" && lost) {
      touched = false
      // as if the visitor had gone back to this address, at which Streamlit runs the page it belongs to
      timer = setTimeout(() => window.dispatchEvent(new PopStateEvent("popstate")), RETURNING)
    }
    lost = connection !== "CONNECTED"
  }
  const watched = { subtree: true, attributeFilter: ["data-test-connection-state", "data-test-script-state"] }
  new MutationObserver(look).observe(document.body, watched)
}
