# The Elixir side of the benchmarks: reads "job items" lines, does the job, answers with microseconds (or bytes).
# The code is in modules, which Elixir compiles; code at the top of a script is interpreted and slower.

defmodule Counting do
  use GenServer

  def init(total), do: {:ok, total}
  def handle_call(n, _from, total), do: {:reply, total + n, total + n}
  def handle_cast(n, total), do: {:noreply, total + n}
end

defmodule Verbs do
  @options [max_concurrency: 100, timeout: 5_000]

  def job("stream", n), do: stream(n, &identity/1, @options)
  def job("stream_unordered", n), do: stream(n, &identity/1, [ordered: false] ++ @options)
  def job("stream_suspending", n), do: stream(n, &yielding/1, @options)

  def job("spawn", n), do: Enum.reduce(1..n, 0, fn i, done -> done + ended(Task.await(one(i)), i) end)

  def job("await_many", n), do: Enum.map(1..n, &one/1) |> Task.await_many() |> length()

  def job("server_call", n) do
    {:ok, server} = GenServer.start_link(Counting, 0)
    total = Enum.reduce(1..n, 0, fn _, _ -> GenServer.call(server, 1) end)
    GenServer.stop(server)
    total
  end

  def job("server_cast", n) do
    {:ok, server} = GenServer.start_link(Counting, 0)
    Enum.each(1..n, fn _ -> GenServer.cast(server, 1) end)
    total = GenServer.call(server, 0, :infinity)
    GenServer.stop(server)
    total
  end

  def job("agent_update", n) do
    {:ok, agent} = Agent.start_link(fn -> 0 end)
    Enum.each(1..n, fn _ -> Agent.update(agent, &(&1 + 1)) end)
    total = Agent.get(agent, & &1)
    Agent.stop(agent)
    total
  end

  def job("agent_get", n) do
    {:ok, agent} = Agent.start_link(fn -> 1 end)
    done = Enum.reduce(1..n, 0, fn _, done -> done + Agent.get(agent, & &1) end)
    Agent.stop(agent)
    done
  end

  def job("supervisor_spawn", n) do
    {:ok, sup} = Task.Supervisor.start_link()

    done =
      Enum.reduce(1..n, 0, fn i, done ->
        done + ended(Task.await(Task.Supervisor.async_nolink(sup, fn -> i end)), i)
      end)

    Supervisor.stop(sup)
    done
  end

  def job("supervisor_children", n) do
    {:ok, sup} = DynamicSupervisor.start_link(strategy: :one_for_one)
    child = %{id: :child, start: {Task, :start_link, [Process, :sleep, [:infinity]]}}
    Enum.each(1..n, fn _ -> {:ok, _} = DynamicSupervisor.start_child(sup, child) end)
    active = DynamicSupervisor.count_children(sup).active
    DynamicSupervisor.stop(sup)
    active
  end

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
