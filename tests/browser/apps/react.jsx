// A tiny single-page application as people write them with React and its router.
import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { BrowserRouter, Link, Route, Routes, useParams } from 'react-router-dom'

const useTitle = (title) => useEffect(() => void (document.title = title), [title])

const Home = () => {
  useTitle('Home')
  const [count, setCount] = useState(0)
  return (
    <main>
      <button className="counter" onClick={() => setCount(count + 1)}>Clicked {count}</button>
      <Link to="/items/7">Seventh</Link>
    </main>
  )
}

const Item = () => {
  const { id } = useParams()
  useTitle(`Item ${id}`)
  return (
    <form onSubmit={(event) => event.preventDefault()}>
      <input name="amount" onChange={() => 0} />
      <button>Buy</button>
    </form>
  )
}

createRoot(document.getElementById('app')).render(
  <StrictMode>
    <BrowserRouter>
      <Routes>
        <Route path="/items/:id" element={<Item />} />
        <Route path="*" element={<Home />} />
      </Routes>
    </BrowserRouter>
  </StrictMode>,
)
