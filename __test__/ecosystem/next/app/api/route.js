import { pageout, readAt } from 'pageout'
import { take } from 'pageout/promises'

export const dynamic = 'force-dynamic'

export async function GET() {
  const handle = pageout(Float64Array.of(1.5, 2.5, 3.5))
  const some = readAt(handle, 1, 1)
  return Response.json([...some, ...(await take(handle))])
}
