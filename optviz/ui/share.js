// A button that copies the address of the page as it is now.
export default function ({ parentElement, data }) {
  const button = parentElement.querySelector("button")
  const label = button.querySelector(".oz-share-label")
  label.textContent = data.label
  button.title = data.help
  button.onclick = async () => {
    label.textContent = (await copy(window.location.href)) ? "Link copied" : "Copy it from the address bar"
    setTimeout(() => (label.textContent = data.label), 2000)
  }
}

// The clipboard exists only on secure pages (https or localhost); a class server in a local network is neither.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const field = document.createElement("textarea")
    field.value = text
    field.style.position = "fixed"
    field.style.opacity = "0"
    document.body.append(field)
    field.select()
    const copied = document.execCommand("copy")
    field.remove()
    return copied
  }
}
