// The same tiny application as people write it with Vue and its router.
import { createApp, h, ref } from 'vue'
import { createRouter, createWebHistory, RouterLink, RouterView } from 'vue-router'

const Home = {
  setup() {
    const count = ref(0)
    return () =>
      h('main', [
        h('button', { class: 'counter', onClick: () => count.value++ }, `Clicked ${count.value}`),
        h(RouterLink, { to: '/items/7' }, () => 'Seventh'),
      ])
  },
}

const Item = {
  render: () =>
    h('form', { onSubmit: (event) => event.preventDefault() }, [h('input', { name: 'amount' }), h('button', 'Buy')]),
}

const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/items/:id', component: Item },
    { path: '/:rest(.*)*', component: Home },
  ],
})
router.afterEach((to) => {
  document.title = to.params.id ? `Item ${to.params.id}` : 'Home'
})
createApp({ render: () => h(RouterView) }).use(router).mount('#app')
