# The Elixir side of the benchmarks: reads "job items" lines, does the job, answers with microseconds (or bytes).
# The code is in modules, which Elixir compiles; code at the top of a script is interpreted and slower.

defmodule Verbs do
  @options [max_concurrency: 100, timeout: 5_000]

  def job("stream", n), do: stream(n, &identity/1, @options)
  def job("stream_unordered", n), do: stream(n, &identity/1, [ordered: false] ++ @options)
  def job("stream_suspending", n), do: stream(n, &yielding/1, @options)

  def job("spawn", n), do: Enum.reduce(1..n, 0, fn i, done -> done + ended(Task.await(one(i)), i) end)

  def job("await_many", n), do: Enum.map(1..n, &one/1) |> Task.await_many() |> length()

  defp stream(n, fun, options) do
    1..n |> Task.async_stream(fun, options) |> Enum.reduce(0, fn {:ok, _}, done -> done + 1 end)
  end

  defp one(i), do: Task.async(fn -> i end)
  defp ended(i, i), do: 1
  defp identity(x), do: x

  defp yielding(x) do
    :erlang.yield()
    x
  end
end

defmodule Serve do
  def measure("memory", n) do
    :erlang.garbage_collect()
    before = :erlang.memory(:total)
    tasks = Enum.map(1..n, fn _ -> Task.async(fn -> Process.sleep(:infinity) end) end)
    Process.sleep(500)
    :erlang.garbage_collect()
    taken = :erlang.memory(:total) - before
    Enum.each(tasks, &Task.shutdown(&1, :brutal_kill))
    taken
  end

  def measure(job, n) do
    # A process of its own for each job: a fresh heap and an empty mailbox, as a Python contender has a fresh loop.
    {micros, ^n} =
      Task.async(fn -> :timer.tc(fn -> Verbs.job(job, n) end) end) |> Task.await(:infinity)

    micros
  end

  def loop do
    case IO.gets("") do
      line when is_binary(line) ->
        [job, items] = String.split(line)
        IO.puts(measure(job, String.to_integer(items)))
        loop()

      _ ->
        :ok
    end
  end
end

IO.puts("Elixir #{System.version()}, OTP #{System.otp_release()}")
Serve.loop()
